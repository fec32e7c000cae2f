import Foundation

/// The small model that this project trained and ships, for somebody who has named no other.
enum DemoModel {
    /// Its directory: `fixtures/demo-model` in the project that the executable was built in, or `share/vlm/demo-model`
    /// beside the directory it was installed in; nil if it is not there.
    static var path: String? {
        guard let executable = Bundle.main.executableURL?.resolvingSymlinksInPath() else { return nil }
        var directory = executable.deletingLastPathComponent()
        var candidates = [directory.deletingLastPathComponent().appending(path: "share/vlm/demo-model")]
        // .build/x86_64-unknown-linux-gnu/release/vlm lies three levels below the project.
        for _ in 0..<4 {
            candidates.append(directory.appending(path: "fixtures/demo-model"))
            directory.deleteLastPathComponent()
        }
        return candidates.map(\.path).first { FileManager.default.fileExists(atPath: $0 + "/config.json") }
    }
}
