internal import Foundation
public import Tensors

/// A tensor that is made when it is written, so that a file larger than memory can be.
///
/// Of the tensors of a file no more than one is in memory at a time.
public struct PendingTensor {
    /// Extent of every dimension.
    public let shape: [Int]
    /// What the elements are stored in.
    public let elementType: ElementType
    private let make: () throws -> Tensor

    /// A tensor that exists.
    public init(_ tensor: Tensor) {
        (shape, elementType) = (tensor.shape, tensor.elementType)
        make = { tensor }
    }

    /// A tensor in another type.
    /// - Parameter arrange: makes the tensor of the one given, such as one with its rows in another order; neither shape
    ///   nor type may change.
    /// - Throws: `QuantizationError` if the tensor's rows are not whole blocks.
    public init(
        _ tensor: Tensor, as type: ElementType, arrange: @escaping (Tensor) throws -> Tensor = { $0 }
    ) throws {
        guard type.fits(tensor.shape) else { throw QuantizationError.partialBlocks(type, shape: tensor.shape) }
        (shape, elementType) = (tensor.shape, type)
        // Rows are moved before they are rounded, in which their blocks stay the same.
        make = { try arrange(tensor).converted(to: type) }
    }

    /// Bytes of the elements.
    var byteCount: Int { elementType.byteCount(of: shape.reduce(1, *)) }

    /// Makes the tensor and writes its bytes at the current position of a file.
    /// - Throws: `CheckpointError.unwritable` with the tensor's name for an element that its type cannot hold.
    func write(named name: String, to handle: FileHandle, of path: String) throws {
        let tensor: Tensor
        do {
            tensor = try make()
        } catch let error as QuantizationError {
            throw CheckpointError.unwritable(path: path, reason: "tensor \(name): \(error)")
        }
        precondition(tensor.shape == shape && tensor.elementType == elementType, "\(name) is not what was promised")
        try tensor.write(to: handle)
    }
}
