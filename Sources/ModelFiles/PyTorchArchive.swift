internal import Bytes
public import Tensors

/// A file that `torch.save` wrote (PyTorch 1.6 or later), its tensors used in place.
///
/// The outermost value must be a dictionary. If it holds a dictionary with tensors under `state_dict`,
/// `model_state_dict`, `module` or `model` (looked for in this order, and again inside what was found, up to four
/// times), that one's members are the tensors; otherwise its own members are. Names get no prefix. Values that are
/// not tensors, and keys that are not texts, are ignored.
///
/// Contiguous tensors are read from the mapped file where they lie; others are gathered into memory of their own,
/// together no more bytes than the file has.
public struct PyTorchArchive: Sendable {
    /// The tensors by name.
    public let tensors: [String: Tensor]

    private static let wrappers = ["state_dict", "model_state_dict", "module", "model"]

    /// Maps the file at `path`, runs its pickle in a machine that can only describe tensors, and checks that every
    /// tensor lies in its storage and every storage in the file.
    /// - Throws: `CheckpointError`; `.forbiddenGlobal` for a pickle that names anything but tensors' own functions.
    public init(path: String) throws {
        try self.init(MemoryMappedFile.open(path))
    }

    /// Reads bytes that stand for a file.
    package init(_ file: MemoryMappedFile) throws {
        try WeightsFormat.pyTorch.check(file)
        let archive = try ZipArchive(file)
        let (pickle, root) = try Self.pickle(in: archive)
        try Self.checkByteOrder(of: archive, root: root)

        let range = try archive.range(of: pickle)
        let (machine, result) = try PickleMachine.run(FileReader(file, part: pickle.name, range: range))
        guard let members = Self.members(of: result, in: machine) else {
            throw CheckpointError.unexpectedValue(
                file: file.path, key: "", expected: "a dictionary of tensors", got: Self.kind(of: result))
        }

        var views = TensorViews(archive: archive, root: root, machine: machine)
        var tensors: [String: Tensor] = [:]
        for (name, value) in members {
            guard case .tensor(let index) = value else { continue }
            guard try tensors.updateValue(views.tensor(index, named: name), forKey: name) == nil else {
                throw CheckpointError.duplicateTensor(name: name, files: [file.path])
            }
        }
        self.tensors = tensors
    }

    /// The entry `<root>data.pkl` and its root.
    private static func pickle(in archive: ZipArchive) throws -> (entry: ZipArchive.Entry, root: String) {
        let candidates = archive.entries.values.filter { $0.name == "data.pkl" || $0.name.hasSuffix("/data.pkl") }
        guard let entry = candidates.first, candidates.count == 1 else {
            let names = archive.entries.keys.sorted().prefix(5).joined(separator: ", ")
            throw CheckpointError.unsupportedFormat(
                file: archive.file.path,
                found: "a zip archive with \(candidates.count) entries data.pkl, and with \(names)",
                advice: "give a file that torch.save wrote")
        }
        let root = String(entry.name.dropLast("data.pkl".count))
        if archive.entries["\(root)constants.pkl"] != nil {
            throw CheckpointError.unsupportedFormat(
                file: archive.file.path, found: "a TorchScript program",
                advice: "save its weights: torch.save(torch.jit.load(path).state_dict(), path)")
        }
        return (entry, root)
    }

    /// Older versions of PyTorch write no such entry, and their files are taken as little-endian.
    private static func checkByteOrder(of archive: ZipArchive, root: String) throws {
        guard let entry = archive.entries["\(root)byteorder"] else { return }
        let range = try archive.range(of: entry)
        var reader = try FileReader(archive.file, part: entry.name, range: range)
        let order = try reader.text(min(range.count, 16))
        guard order == "little" else {
            throw CheckpointError.unsupportedFormat(
                file: archive.file.path, found: "a PyTorch file of byte order \"\(order)\"",
                advice: "save it again on a little-endian machine, or as safetensors")
        }
    }

    /// The members of the dictionary that holds the tensors.
    private static func members(
        of value: PickleMachine.Value, in machine: PickleMachine
    ) -> [(key: String, value: PickleMachine.Value)]? {
        guard var members = machine.members(of: value) else { return nil }
        for _ in 0..<4 {
            let inner = wrappers.lazy.compactMap { wrapper in
                members.last { $0.key == wrapper }.flatMap { machine.members(of: $0.value) }
            }.first { candidate in
                candidate.contains { member in
                    if case .tensor = member.value { return true }
                    return wrappers.contains(member.key)
                }
            }
            guard let inner else { break }
            members = inner
        }
        return members
    }

    private static func kind(of value: PickleMachine.Value) -> String {
        switch value {
        case .tensor: "a single tensor"
        case .object: "a list or tuple"
        default: "a value without tensors"
        }
    }
}
