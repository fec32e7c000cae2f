import Foundation

/// How far long work has come, on standard error: a bar in one line for a person, a line now and then in a log.
///
/// No colours are used, so that NO_COLOR has nothing to turn off.
struct ProgressBar {
    /// The least time between two lines of a log.
    var logPause = Duration.seconds(30)
    private let clock = ContinuousClock()
    private var last: ContinuousClock.Instant?

    /// Shows that a share of the work is done, in words as well.
    /// - Parameter isLast: whether the work ends here; such a line is always shown, and stays.
    mutating func show(_ share: Double, _ text: String, isLast: Bool = false) {
        let now = clock.now
        if let last, !isLast, now - last < (Terminal.isInteractive ? .milliseconds(100) : logPause) { return }
        last = now
        guard Terminal.isInteractive else { return Terminal.note(text) }
        let line = Self.line(share, text, width: Terminal.width)
        FileHandle.standardError.write(Data("\r\(line)\u{1B}[K\(isLast ? "\n" : "")".utf8))
    }

    /// The words, and a bar before them if the width leaves it room. The last column stays free: some terminals go on in the
    /// next line when it is written to.
    static func line(_ share: Double, _ text: String, width: Int) -> String {
        let words = String(text.prefix(max(0, width - 1)))
        let room = min(30, width - words.count - 4)
        guard room >= 5 else { return words }
        let full = Int((Double(room) * min(max(share, 0), 1)).rounded(.down))
        return "[\(String(repeating: "#", count: full))\(String(repeating: ".", count: room - full))] \(words)"
    }
}
