import Foundation

/// A JSON file of things that could be computed again, in the user's cache directory: `$XDG_CACHE_HOME/vlm`, or
/// `~/.cache/vlm`.
///
/// A file that is missing, damaged or not writable is the same as none.
public struct UserCacheFile {
    /// Where it lies; nil without a cache directory.
    let url: URL?

    /// The file of a name.
    public init(_ name: String) {
        let environment = ProcessInfo.processInfo.environment
        let cache =
            environment["XDG_CACHE_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil }
            ?? environment["HOME"].map { $0 + "/.cache" }
        url = cache.map { URL(filePath: $0).appending(path: "vlm").appending(path: name) }
    }

    /// What it holds, if that can be read.
    public func read<Value: Decodable>(_ type: Value.Type) -> Value? {
        url.flatMap { try? Data(contentsOf: $0) }.flatMap { try? JSONDecoder().decode(type, from: $0) }
    }

    /// Replaces what it holds, if that can be written.
    public func write(_ value: some Encodable) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        guard let url, let data = try? encoder.encode(value) else { return }
        try? FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try? data.write(to: url, options: .atomic)
    }
}
