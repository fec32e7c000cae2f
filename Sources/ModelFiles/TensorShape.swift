internal import Tensors

/// Arithmetic on shapes that come from files.
enum TensorShape {
    /// As many dimensions as PyTorch and NumPy can handle.
    static let maximumRank = 64

    /// Bytes that elements of `elementType` take in this shape.
    ///
    /// Rows must be whole blocks of the type. Extents of 0 count as 1 in the check for overflow, so that every partial product of an accepted shape can be
    /// computed as well.
    /// - Throws: `CheckpointError.invalidShape`.
    static func byteCount(
        _ shape: [Int], _ elementType: ElementType, file: String, tensor: String
    ) throws -> Int {
        let invalid = CheckpointError.invalidShape(file: file, tensor: tensor, shape: shape)
        guard shape.count <= maximumRank, elementType.fits(shape) else { throw invalid }
        var total = elementType.blockByteCount
        for extent in shape {
            let (product, overflow) = total.multipliedReportingOverflow(by: max(extent, 1))
            guard extent >= 0, !overflow else { throw invalid }
            total = product
        }
        return shape.contains(0) ? 0 : total / elementType.blockCount
    }
}
