internal import Bytes
internal import Tensors

/// What this module reads binary files through: its errors are `CheckpointError`s that name the file.
typealias FileReader = ByteReader<MemoryMappedFile, CheckpointError>
/// What it reads ONNX files through.
typealias FileMessage = ProtobufMessage<MemoryMappedFile, CheckpointError>

extension MemoryMappedFile: ByteSource {}

extension CheckpointError: ByteReadingError, JSONReadingError {}

extension ByteReader where Source == MemoryMappedFile {
    /// A reader of `range`, which must lie inside the file; of the whole file if it is nil.
    init(_ file: MemoryMappedFile, part: String, range: Range<Int>? = nil) throws(Failure) {
        try self.init(file, file: file.path, part: part, range: range)
    }

    /// A reader of `count` bytes from `offset` of the file.
    init(_ file: MemoryMappedFile, part: String, from offset: Int, count: Int) throws(Failure) {
        try self.init(file, file: file.path, part: part, from: offset, count: count)
    }
}

extension MemoryMappedFile {
    /// Maps the file at `path` for this module, whose errors are all `CheckpointError`s.
    static func open(_ path: String) throws -> MemoryMappedFile {
        guard !path.utf8.contains(0) else {
            throw CheckpointError.unreadable(path: path, reason: "the path holds a zero byte")
        }
        do {
            return try MemoryMappedFile(path: path)
        } catch TensorError.unreadable(let path, let reason) {
            throw CheckpointError.unreadable(path: path, reason: reason)
        }
    }
}
