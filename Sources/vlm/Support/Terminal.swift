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

    /// Prints one JSON object on a line of standard output.
    static func json(_ value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        FileHandle.standardOutput.write(try encoder.encode(value) + Data("\n".utf8))
    }
}
