import Foundation

/// The two output streams: answers on standard output, everything else on standard error.
enum Terminal {
    /// Writes a line to standard error.
    static func note(_ text: String) {
        FileHandle.standardError.write(Data((text + "\n").utf8))
    }

    /// Writes answer text to standard output at once.
    static func answer(_ text: String) {
        FileHandle.standardOutput.write(Data(text.utf8))
    }

    /// Whether a person is looking at standard error.
    static var isInteractive: Bool { isatty(FileHandle.standardError.fileDescriptor) == 1 }

    /// Columns of the terminal that a person looks at: what it says, or else COLUMNS, or else 80.
    static var width: Int {
        var size = winsize()
        if ioctl(FileHandle.standardError.fileDescriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 {
            return Int(size.ws_col)
        }
        return ProcessInfo.processInfo.environment["COLUMNS"].flatMap { Int($0) }.flatMap { $0 > 0 ? $0 : nil } ?? 80
    }

    /// Prints one JSON object on a line of standard output.
    static func json(_ value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        FileHandle.standardOutput.write(try encoder.encode(value) + Data("\n".utf8))
    }
}
