public import Foundation

/// Where the files that tests read lie.
public enum Fixtures {
    /// The root of the repository.
    public static let repository = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// `fixtures/` of the repository.
    public static let directory = repository.appending(path: "fixtures")

    /// The golden set: `GOLDEN_DIR` from the environment, or `fixtures/golden`.
    public static let golden: URL = {
        if let path = ProcessInfo.processInfo.environment["GOLDEN_DIR"] { return URL(filePath: path) }
        return directory.appending(path: "golden")
    }()

    /// Files fetched from package registries by the scripts; ignored by git.
    public static let cache = directory.appending(path: ".cache")

    /// A new empty directory for one test; the system clears it away.
    public static func temporaryDirectory() throws -> URL {
        let url = FileManager.default.temporaryDirectory.appending(path: "vlm-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        return url
    }
}
