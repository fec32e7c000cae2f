/// What can go wrong with the files of a model.
///
/// The text of every case says what failed, where, what was expected, what was found, and what to do next.
public enum CheckpointError: Error, Equatable, CustomStringConvertible {
    // MARK: Whole files

    /// A file or directory could not be opened, listed or mapped.
    case unreadable(path: String, reason: String)
    /// A file could not be written; nothing lies under its final name that did not lie there before.
    case unwritable(path: String, reason: String)
    /// A file is of a kind that cannot be used here.
    case unsupportedFormat(file: String, found: String, advice: String)
    /// A read went past the end of a file or of one of its parts.
    case outOfBounds(file: String, part: String, offset: Int, wanted: Int, available: Int)
    /// A part of a file breaks the rules of its format.
    case damaged(file: String, part: String, offset: Int, expected: String, got: String)

    // MARK: Tensors

    /// A tensor's elements are of a type that cannot be used here.
    case unsupportedElementType(file: String, tensor: String, type: String)
    /// A tensor has a negative extent, too many dimensions, or more elements than can be counted.
    case invalidShape(file: String, tensor: String, shape: [Int])
    /// A tensor's elements do not lie inside the bytes meant for them.
    case tensorOutOfBounds(file: String, tensor: String, begin: Int, end: Int, available: Int)
    /// The bytes meant for a tensor are not as many as its shape and element type take.
    case tensorByteCount(file: String, tensor: String, expected: Int, got: Int)
    /// Two tensors of a file share bytes.
    case overlappingTensors(file: String, first: String, second: String)
    /// Bytes of a safetensors file belong to no tensor.
    case unusedBytes(file: String, begin: Int, end: Int)
    /// A name stands for two tensors.
    case duplicateTensor(name: String, files: [String])
    /// Copies of strided tensors would take more memory than the file itself has bytes.
    case copiesTooLarge(file: String, tensor: String, wanted: Int, available: Int)

    // MARK: Pickles

    /// A pickle names a class or function that loading weights has no use for; it was not run.
    case forbiddenGlobal(file: String, name: String, offset: Int)
    /// A pickle holds an instruction that is not allowed or not known.
    case unsupportedInstruction(file: String, instruction: String, offset: Int)

    // MARK: JSON

    /// A JSON file is not well-formed.
    case invalidJSON(file: String, line: Int, column: Int, reason: String)
    /// A JSON file holds another value than expected.
    case unexpectedValue(file: String, key: String, expected: String, got: String)

    // MARK: Directories

    /// A directory holds no weights under any of the names that are looked for.
    case noWeights(directory: String, found: [String])
    /// Files of weights hold no tensors.
    case noTensors(files: [String])
    /// A directory holds weights but no config.json.
    case missingConfiguration(directory: String, found: [String])
    /// Files that belong to a checkpoint are not there.
    case missingFiles(namedBy: String, files: [String])
    /// Tensors that an index lists are not in the shard it names, given as "tensor (shard)".
    case missingTensors(index: String, tensors: [String])
    /// An index names a shard that does not lie in its own directory.
    case unsafeShardName(index: String, name: String)

    /// One sentence for a person.
    public var description: String {
        switch self {
        case .unreadable(let path, let reason):
            "cannot read \(path): \(reason)"
        case .unwritable(let path, let reason):
            "cannot write \(path): \(reason); no file was left or changed under that name"
        case .unsupportedFormat(let file, let found, let advice):
            "\(file) is \(found): \(advice)"
        case .outOfBounds(let file, let part, let offset, let wanted, let available):
            "\(file), \(part): \(wanted) bytes wanted at offset \(offset), \(available) left; the file is damaged or "
                + "incomplete, fetch it again"
        case .damaged(let file, let part, let offset, let expected, let got):
            "\(file), \(part) at offset \(offset): expected \(expected), got \(got); the file is damaged, fetch it again"

        case .unsupportedElementType(let file, let tensor, let type):
            "\(file): tensor \(tensor) has elements of type \(type), which cannot be used here; convert it to BF16, F16 "
                + "or F32"
        case .invalidShape(let file, let tensor, let shape):
            "\(file): tensor \(tensor) has shape \(Self.text(shape)); expected at most \(TensorShape.maximumRank) extents "
                + "of 0 or more whose product can be counted and, where elements are stored in blocks, rows of whole blocks"
        case .tensorOutOfBounds(let file, let tensor, let begin, let end, let available):
            "\(file): tensor \(tensor) lies at bytes \(begin)..<\(end), expected a range inside 0..<\(available); the "
                + "file is damaged or incomplete, fetch it again"
        case .tensorByteCount(let file, let tensor, let expected, let got):
            "\(file): the shape and type of tensor \(tensor) take \(expected) bytes, the file gives it \(got); the file "
                + "is damaged, fetch it again"
        case .overlappingTensors(let file, let first, let second):
            "\(file): tensors \(first) and \(second) share bytes; the file is damaged, fetch it again"
        case .unusedBytes(let file, let begin, let end):
            "\(file): bytes \(begin)..<\(end) belong to no tensor; the file is damaged or was not written as "
                + "safetensors demands, save it again"
        case .duplicateTensor(let name, let files):
            "tensor \(name) is there twice, in \(files.joined(separator: " and ")): keep one"
        case .copiesTooLarge(let file, let tensor, let wanted, let available):
            "\(file): copying strided tensor \(tensor) takes \(wanted) bytes, \(available) are left of the file's size; "
                + "save it again after calling .contiguous() on every tensor"

        case .forbiddenGlobal(let file, let name, let offset):
            "\(file) wants to call \(name) (pickle offset \(offset)): it was not run and the file was refused; a file of "
                + "weights needs no such thing, so either it is malicious or it holds a whole object, and then its "
                + "state_dict has to be saved instead, best as safetensors"
        case .unsupportedInstruction(let file, let instruction, let offset):
            "\(file): pickle instruction \(instruction) at offset \(offset) is not allowed in a file of weights; save "
                + "the state_dict again with torch.save, or as safetensors"

        case .invalidJSON(let file, let line, let column, let reason):
            "\(file), line \(line), column \(column): \(reason)"
        case .unexpectedValue(let file, let key, let expected, let got):
            "\(file): \(key.isEmpty ? "the value" : "\"\(key)\"") is \(got), expected \(expected)"

        case .noWeights(let directory, let found):
            "\(directory) holds no weights; looked for \(WeightsSearch.names.joined(separator: ", ")); found "
                + Self.list(found)
        case .noTensors(let files):
            "no tensors in \(files.joined(separator: ", ")): the file was saved without weights"
        case .missingConfiguration(let directory, let found):
            "\(directory) has no config.json; found \(Self.list(found)): copy config.json from where the weights come from"
        case .missingFiles(let namedBy, let files):
            "\(namedBy) names \(files.count) file(s) that are not there: \(files.joined(separator: ", ")); fetch them"
        case .missingTensors(let index, let tensors):
            "\(index) lists \(tensors.count) tensor(s) that are not in their shards: "
                + "\(tensors.joined(separator: ", ")); index and shards are of different checkpoints, fetch them again"
        case .unsafeShardName(let index, let name):
            "\(index) names the shard \"\(name)\"; expected the plain name of a file in the same directory"
        }
    }

    /// Names for a sentence, cut where a reader would stop reading.
    private static func list(_ names: [String]) -> String {
        if names.isEmpty { return "nothing" }
        let shown = names.prefix(20).joined(separator: ", ")
        return names.count > 20 ? "\(shown) and \(names.count - 20) more" : shown
    }

    private static func text(_ shape: [Int]) -> String {
        shape.count > 16 ? "of \(shape.count) extents \(shape.prefix(16))..." : "\(shape)"
    }
}
