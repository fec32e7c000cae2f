import Synchronization
import Tensors
import Testing

@Suite struct WorkerPoolPropertyTests {
    @Test("every index runs exactly once", arguments: [1, 2, 5], [0, 1, 2, 3, 1000])
    func everyIndexOnce(threads: Int, count: Int) {
        let pool = WorkerPool(threads: threads)
        for _ in 0..<20 {
            let sum = Atomic<Int>(0)
            let calls = Atomic<Int>(0)
            pool.run(count) { index in
                sum.add(index, ordering: .relaxed)
                calls.add(1, ordering: .relaxed)
            }
            #expect(calls.load(ordering: .relaxed) == count)
            #expect(sum.load(ordering: .relaxed) == count * (count - 1) / 2)
        }
    }

    @Test("a loop inside a loop runs to its end")
    func nested() {
        let pool = WorkerPool(threads: 3)
        let calls = Atomic<Int>(0)
        pool.run(10) { _ in pool.run(10) { _ in calls.add(1, ordering: .relaxed) } }
        #expect(calls.load(ordering: .relaxed) == 100)
    }

    @Test("scratch belongs to one call at a time, also in loops inside loops and from several threads at once")
    func scratch() async {
        let pool = WorkerPool(threads: 3)
        let intruders = Counter()
        @Sendable func fill(_ size: Int, _ mark: Float, inner: Bool) {
            pool.run(5, scratch: size) { index, scratch in
                let mark = mark + Float(index)
                for place in 0..<size { scratch[place] = mark }
                if inner { fill(size * 2, -mark, inner: false) }
                let others = (0..<size).count { scratch[$0] != mark }
                intruders.value.add(others, ordering: .relaxed)
            }
        }
        await withTaskGroup { group in
            for task in 0..<4 {
                group.addTask {
                    for round in 0..<20 {
                        fill(100 + 500 * round, Float(1 + 10 * task), inner: round.isMultiple(of: 2))
                    }
                }
            }
        }
        #expect(intruders.value.load(ordering: .relaxed) == 0)
    }

    @Test("loops from several threads at once all run to their ends")
    func concurrent() async {
        let pool = WorkerPool(threads: 2)
        let calls = Counter()
        await withTaskGroup { group in
            for _ in 0..<8 {
                group.addTask { for _ in 0..<50 { pool.run(7) { _ in calls.value.add(1, ordering: .relaxed) } } }
            }
        }
        #expect(calls.value.load(ordering: .relaxed) == 8 * 50 * 7)
    }

    private final class Counter: Sendable {
        let value = Atomic<Int>(0)
    }
}
