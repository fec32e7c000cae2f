import Foundation

/// How long programs run before others take their turn.
struct Turns {
    /// Time that is measured in a turn.
    var seconds: Double
    /// Turns of each.
    var rounds: Int

    /// Milliseconds of a call: the median of a turn, which begins with a pause in which the threads of others fall asleep,
    /// OpenBLAS's after 30 ms, and with calls that are not counted, which wake its own.
    func turn(_ body: () -> Void) -> Double {
        let clock = ContinuousClock()
        func repeated(_ seconds: Double, _ least: Int) -> [Double] {
            var times: [Double] = []
            let start = clock.now
            while times.count < least || clock.now - start < .seconds(seconds) {
                times.append(clock.measure(body) / .milliseconds(1))
            }
            return times
        }
        Thread.sleep(forTimeInterval: 0.06)
        _ = repeated(0.02, 2)
        let times = repeated(seconds, 3).sorted()
        return times[times.count / 2]
    }

    /// All of them in turns, A B C A B C: milliseconds by name, one for each round.
    func compare(_ programs: [(name: String, body: () -> Void)]) -> [String: [Double]] {
        var times: [String: [Double]] = [:]
        for _ in 0..<rounds {
            for program in programs { times[program.name, default: []].append(turn(program.body)) }
        }
        return times
    }
}

/// Milliseconds of ours and of others, and how many times as fast ours was in every round.
struct Comparison: Encodable {
    var milliseconds: [String: Double]
    var timesAsFast: [String: [Double]]

    init(_ times: [String: [Double]], ours: String) {
        milliseconds = times.mapValues { ($0.sorted()[$0.count / 2] * 1000).rounded() / 1000 }
        let own = times[ours] ?? []
        timesAsFast = times.filter { $0.key != ours }.mapValues { theirs in
            zip(theirs, own).map { ($0 / $1 * 1000).rounded() / 1000 }
        }
    }
}
