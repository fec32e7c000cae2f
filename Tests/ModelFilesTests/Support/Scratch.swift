import Foundation
import TestSupport

/// A directory for the files of one test, removed with it.
final class Scratch {
    let url: URL

    init() throws { url = try Fixtures.temporaryDirectory() }

    deinit { try? FileManager.default.removeItem(at: url) }

    var path: String { url.path }

    var names: [String] {
        get throws { try FileManager.default.contentsOfDirectory(atPath: url.path).sorted() }
    }

    func path(_ name: String) -> String { url.appending(path: name).path }

    /// Writes a file and returns its path.
    @discardableResult
    func write(_ bytes: [UInt8], as name: String) throws -> String {
        try Data(bytes).write(to: url.appending(path: name))
        return path(name)
    }

    @discardableResult
    func write(_ text: String, as name: String) throws -> String { try write(Array(text.utf8), as: name) }

    /// Copies a golden file or directory and returns the copy's path.
    @discardableResult
    func copy(golden: String, as name: String) throws -> String {
        try FileManager.default.copyItem(at: Fixtures.golden.appending(path: golden), to: url.appending(path: name))
        return path(name)
    }
}

/// Makes a named pipe; false if that failed.
func makePipe(_ path: String) -> Bool { mkfifo(path, 0o600) == 0 }
