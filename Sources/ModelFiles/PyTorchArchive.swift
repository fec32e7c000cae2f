public import Tensors
public struct PyTorchArchive: Sendable {
    public let tensors: [String: Tensor]
    public init(path: String) throws { try self.init(MemoryMappedFile.open(path)) }
    init(_ file: MemoryMappedFile) throws { tensors = [:] }
}
