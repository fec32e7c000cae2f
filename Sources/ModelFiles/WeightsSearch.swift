internal import Foundation

/// Which files of a directory hold its weights.
struct WeightsSearch {
    /// What is looked for, first match first; `*` stands for any characters.
    static let names = [
        "model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin",
        "model-*-of-*.safetensors", "pytorch_model-*.bin", "query_abstractor.safetensors", "query_abstractor.bin",
        "mm_projector.safetensors", "mm_projector.bin", "*.gguf", "*.onnx",
    ]

    /// Whether the weights are one file that says itself what model they are of.
    var isSelfContained: Bool { chosen == "*.gguf" || chosen == "*.onnx" }

    /// Names of the files to read, in order.
    var files: [String]
    /// The index that named them.
    var index: ShardIndex?
    /// Other files of weights that lie under one of `names` and are not read.
    var ignored: [String]
    /// The match that decided, for a person.
    var chosen: String

    /// Looks among `entries`, the names of the files in `directory`.
    /// - Throws: `CheckpointError.noWeights`, or what is wrong with the index or the set of shards.
    init(directory: String, entries: [String]) throws {
        let entries = entries.sorted()
        let present = Set(entries)
        func path(_ name: String) -> String { URL(filePath: directory).appending(path: name).path }

        var files: [String] = []
        var index: ShardIndex?
        var chosen = ""
        for name in Self.names where files.isEmpty {
            let matches = entries.filter { Self.matches($0, name) }
            guard !matches.isEmpty else { continue }
            chosen = name
            if name.hasSuffix(".index.json") {
                let shards = try ShardIndex(path: path(name))
                files = shards.files
                index = shards
            } else if name.hasPrefix("*") {
                guard matches.count == 1 else {
                    throw CheckpointError.unreadable(
                        path: directory, reason: "it holds \(matches.joined(separator: ", ")); name one of them")
                }
                files = matches
            } else if name.contains("*") {
                files = try Self.complete(matches, directory: directory)
            } else if Self.isAdapter(name) {
                // A directory may hold both adapters; each is taken in the first format it is there in.
                var parts: Set<String> = []
                files = Self.names.filter {
                    Self.isAdapter($0) && present.contains($0) && parts.insert(Self.stem($0)).inserted
                }
                chosen = files.joined(separator: " and ")
            } else {
                files = matches
            }
        }
        if let index {
            let missing = files.filter { !present.contains($0) }
            guard missing.isEmpty else { throw CheckpointError.missingFiles(namedBy: index.path, files: missing) }
        }
        guard !files.isEmpty else { throw CheckpointError.noWeights(directory: directory, found: entries) }

        let used = Set(files)
        self.files = files
        self.index = index
        self.chosen = chosen
        self.ignored = entries.filter { entry in
            !used.contains(entry) && !entry.hasSuffix(".json") && Self.names.contains { Self.matches(entry, $0) }
        }
    }

    /// Shards called `...-00001-of-00003...`, all of which must be there.
    private static func complete(_ matches: [String], directory: String) throws -> [String] {
        guard let pattern = try? Regex("^(.*-)([0-9]{1,6})(-of-)([0-9]{1,6})(\\..*)$"),
            let match = matches.first.flatMap({ try? pattern.wholeMatch(in: $0) }),
            let prefix = match.output[1].substring, let number = match.output[2].substring,
            let count = match.output[4].substring.flatMap({ Int($0) }), let suffix = match.output[5].substring
        else { return matches }
        let present = Set(matches)
        let total = match.output[4].substring ?? ""
        let expected = (0..<count).map { index in
            let digits = String(index + 1)
            let zeros = String(repeating: "0", count: max(0, number.count - digits.count))
            return "\(prefix)\(zeros)\(digits)-of-\(total)\(suffix)"
        }
        let missing = expected.filter { !present.contains($0) }
        guard missing.isEmpty else {
            throw CheckpointError.missingFiles(namedBy: "\(directory)/\(matches[0])", files: missing)
        }
        return matches
    }

    private static func isAdapter(_ name: String) -> Bool { ["query_abstractor", "mm_projector"].contains(stem(name)) }

    private static func stem(_ name: String) -> String { String(name.prefix { $0 != "." }) }

    /// Whether `name` fits `pattern`, whose `*` stand for any characters.
    private static func matches(_ name: String, _ pattern: String) -> Bool {
        var rest = Substring(name)
        let parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
        guard let first = parts.first, let last = parts.last, rest.hasPrefix(first) else { return false }
        if parts.count == 1 { return name == pattern }
        rest = rest.dropFirst(first.count)
        for part in parts.dropFirst().dropLast() {
            guard let range = rest.firstRange(of: part) else { return false }
            rest = rest[range.upperBound...]
        }
        return rest.hasSuffix(last)
    }
}
