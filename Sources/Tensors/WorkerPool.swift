import CKernels
import Foundation
import Synchronization

/// A team of threads that runs the iterations of a loop in parallel.
///
/// Iterations are handed out by one atomic counter, so a busy neighbour does not stall the others. Each iteration must
/// compute its own part of the result in a fixed way; then the result's bytes do not depend on the number of threads.
/// Workers spin briefly for the next loop, then sleep.
public final class WorkerPool: Sendable {
    /// Threads that work on a loop, the calling one included.
    public let threadCount: Int
    private let team: Team

    /// A pool with as many threads as asked for, at least 1; by default one per processor that is online.
    public init(threads: Int? = nil) {
        threadCount = max(1, threads ?? ProcessInfo.processInfo.activeProcessorCount)
        team = Team(workers: threadCount - 1)
    }

    deinit { team.stop() }

    /// Calls `body` with every index in `0..<count`, on all threads, and returns when all calls have returned.
    ///
    /// A loop that starts while another is running, inside it or on another thread, runs on its calling thread alone.
    public func run(_ count: Int, _ body: (Int) -> Void) {
        guard count > 1, team.workers > 0, team.run(count, scratch: 0, { index, _ in body(index) }) else {
            for index in 0..<max(count, 0) { body(index) }
            return
        }
    }

    /// The same with memory for `floats` float32 numbers that no other call uses meanwhile; their values are undefined.
    ///
    /// Threads keep it for the next loop.
    package func run(
        _ count: Int, scratch floats: Int, _ body: (Int, UnsafeMutablePointer<Float>) -> Void
    ) {
        guard !team.run(count, scratch: floats, body) else { return }
        let scratch = Scratch(floats)
        for index in 0..<max(count, 0) { body(index, scratch.floats) }
    }
}

/// The state that the calling thread and the workers share; it outlives the pool until the last worker has left.
///
/// Invariant that makes `@unchecked Sendable` true: `job` and `scratch` are written only by the holder of `gate` while no
/// worker is active, and read by workers only between the generation they were woken for and their report to `active`.
private final class Team: @unchecked Sendable {
    private struct Job {
        var count: Int
        var body: (Int, UnsafeMutablePointer<Float>) -> Void
    }

    /// Rounds of waiting, about 100 microseconds, before a worker sleeps or the caller yields its processor: longer than what
    /// one thread does alone between the products of a layer. Processors differ by ten times in how long a round takes.
    private static let spins: Int = {
        let rounds = 500
        let shortest =
            (0..<3).map { _ in
                ContinuousClock().measure { for _ in 0..<rounds { vlm_spin_pause() } }
            }.min() ?? .zero
        return max(rounds, Int(Double(rounds) * (.microseconds(100) / max(shortest, .nanoseconds(1)))))
    }()

    let workers: Int
    private let gate = Mutex<Void>(())
    private let condition = NSCondition()
    private var job: Job?
    /// What threads work in, the calling one first, with room for `scratchFloats` numbers each.
    private var scratch = Scratch(0)
    private var scratchFloats = 0
    private let next = Atomic<Int>(0)
    private let generation = Atomic<Int>(0)
    private let active = Atomic<Int>(0)
    private let isStopping = Atomic<Bool>(false)

    init(workers: Int) {
        self.workers = workers
        for worker in 1..<workers + 1 {
            let thread = Thread { [self] in
                var seen = 0
                while takePart(worker, &seen) {}
            }
            // Without optimisation C keeps the variables of every inlined kernel apart: a quantised tile takes 1.3 MB.
            thread.stackSize = 8 << 20
            thread.start()
        }
    }

    /// Runs the loop on all threads; false, and nothing done, if another loop is running.
    /// - Parameter floats: how much memory each of them needs.
    func run(_ count: Int, scratch floats: Int, _ body: (Int, UnsafeMutablePointer<Float>) -> Void) -> Bool {
        let ran: Void? = gate.withLockIfAvailable { _ in
            if floats > scratchFloats {
                scratchFloats = (floats + 1023) / 1024 * 1024
                ComputeContext.current.operations?.add(allocatedBytes: (workers + 1) * scratchFloats * 4)
                scratch = Scratch((workers + 1) * scratchFloats)
            }
            guard count > 1, workers > 0 else {
                for index in 0..<max(count, 0) { body(index, scratch.floats) }
                return
            }
            withoutActuallyEscaping(body) { body in
                job = Job(count: count, body: body)
                next.store(0, ordering: .relaxed)
                active.store(workers, ordering: .relaxed)
                condition.withLock {
                    generation.add(1, ordering: .releasing)
                    condition.broadcast()
                }
                drain(count, 0, body)
                wait { active.load(ordering: .acquiring) == 0 }
                job = nil
            }
        }
        return ran != nil
    }

    func stop() {
        condition.withLock {
            isStopping.store(true, ordering: .releasing)
            condition.broadcast()
        }
    }

    private func drain(_ count: Int, _ thread: Int, _ body: (Int, UnsafeMutablePointer<Float>) -> Void) {
        let memory = scratch.floats + thread * scratchFloats
        while true {
            let index = next.add(1, ordering: .relaxed).oldValue
            if index >= count { return }
            body(index, memory)
        }
    }

    /// One turn of a worker: waits for the next loop, helps with it, reports. False when the pool is gone.
    private func takePart(_ worker: Int, _ seen: inout Int) -> Bool {
        for _ in 0..<Self.spins where !hasNews(since: seen) { vlm_spin_pause() }
        if !hasNews(since: seen) {
            condition.withLock {
                while !hasNews(since: seen) { condition.wait() }
            }
        }
        if isStopping.load(ordering: .acquiring) { return false }
        seen += 1
        if let job { drain(job.count, worker, job.body) }
        active.subtract(1, ordering: .releasing)
        return true
    }

    private func hasNews(since seen: Int) -> Bool {
        generation.load(ordering: .acquiring) != seen || isStopping.load(ordering: .acquiring)
    }

    private func wait(until isDone: () -> Bool) {
        var turns = 0
        while !isDone() {
            turns += 1
            if turns < Self.spins { vlm_spin_pause() } else { sched_yield() }
        }
    }
}
