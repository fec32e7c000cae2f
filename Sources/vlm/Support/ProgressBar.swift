import Foundation
import ModelFiles

/// How far long work has come, on standard error: a bar in one line for a person, a line now and then in a log.
///
/// No colours are used, so that NO_COLOR has nothing to turn off.
struct ProgressBar {
    /// The least time between two lines of a log.
    var logPause = Duration.seconds(30)
    private let clock = ContinuousClock()
    private let start = ContinuousClock().now
    private var last: ContinuousClock.Instant?

    /// Shows that a share of the work is done, in words as well; nil draws no bar, for work whose length nobody knows.
    /// - Parameter isLast: whether the work ends here; such a line is always shown, and stays.
    mutating func show(_ share: Double?, _ text: String, isLast: Bool = false) {
        let now = clock.now
        guard Terminal.isInteractive else {
            // Short work leaves nothing in a log.
            guard now - (last ?? start) >= logPause || isLast && last != nil else { return }
            last = now
            return Terminal.note(text)
        }
        if let last, !isLast, now - last < .milliseconds(100) { return }
        last = now
        let line = Self.line(share, text, width: Terminal.width)
        FileHandle.standardError.write(Data("\r\(line)\u{1B}[K\(isLast ? "\n" : "")".utf8))
    }

    /// The words, and a bar before them if the width leaves it room. The last column stays free: some terminals go on in the
    /// next line when it is written to.
    static func line(_ share: Double?, _ text: String, width: Int) -> String {
        let words = String(text.prefix(max(0, width - 1)))
        let room = min(30, width - words.count - 4)
        guard let share, room >= 5 else { return words }
        let full = Int((Double(room) * min(max(share, 0), 1)).rounded(.down))
        return "[\(String(repeating: "#", count: full))\(String(repeating: ".", count: room - full))] \(words)"
    }
}

/// Progress of work that is counted, and the time that is left at the pace so far.
struct CountedProgress {
    /// What is counted.
    let unit: String
    private let clock = ContinuousClock()
    private let start = ContinuousClock().now
    private var bar = ProgressBar()

    init(of unit: String) { self.unit = unit }

    /// Shows how much is done, of which `resumed` was so at the start.
    mutating func show(_ done: Int, of total: Int, resumed: Int = 0) {
        let left = (clock.now - start) / Double(max(1, done - resumed)) * Double(total - done)
        bar.show(
            Double(done) / Double(max(1, total)),
            "\(done) of \(total) \(unit), \(left.formatted(.time(pattern: .hourMinuteSecond))) left",
            isLast: done == total)
    }
}

/// Progress of work on weights.
struct WeightsProgressBar {
    private var bar = ProgressBar()

    /// Shows how far it has come.
    mutating func show(_ progress: WeightsProgress) {
        let size = ByteCountFormatter()
        size.countStyle = .file
        let done = size.string(fromByteCount: Int64(progress.done))
        let of = progress.total.map { " of " + size.string(fromByteCount: Int64($0)) } ?? ""
        bar.show(
            progress.total.map { Double(progress.done) / Double(max(1, $0)) }, "\(progress.step.rawValue) \(done)\(of)",
            isLast: progress.step == .writing && progress.done == progress.total)
    }
}
