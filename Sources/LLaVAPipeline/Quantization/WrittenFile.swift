internal import ModelFiles
internal import Tensors

/// A file of weights as it was read back after it was written.
public struct WrittenFile: Sendable, Equatable, Codable {
    /// What is stored in one type.
    public struct Share: Sendable, Equatable, Codable {
        /// The type.
        public var type: String
        /// Number of tensors.
        public var tensors: Int
        /// Bytes of their elements.
        public var bytes: Int
        /// Root of the mean squared error over that of the mean square of the original weights, of up to 64 rows of
        /// every tensor: 0 where nothing was rounded.
        public var relativeError: Double
    }

    /// Its name in the directory.
    public var name: String
    /// Its size.
    public var bytes: Int
    /// What it holds, the largest share first.
    public var shares: [Share]

    /// Rows of a matrix that are compared, spread evenly over it.
    private static let comparedRows = 64

    /// Compares what is in a file with what it was made of.
    /// - Parameters:
    ///   - tensors: what was read from the file.
    ///   - originals: what it was made of, under the same names.
    /// - Throws: `CheckpointError.unwritable` if a tensor is missing or left over, or has another shape.
    init(name: String, bytes: Int, _ tensors: [String: Tensor], of originals: [String: Tensor], path: String) throws {
        var sums: [ElementType: (tensors: Int, bytes: Int, error: Double, square: Double)] = [:]
        guard tensors.count == originals.count else {
            throw CheckpointError.unwritable(
                path: path, reason: "\(tensors.count) tensors were read back, \(originals.count) were written")
        }
        for (tensorName, original) in originals {
            guard let tensor = tensors[tensorName], tensor.shape == original.shape else {
                throw CheckpointError.unwritable(
                    path: path,
                    reason: "\(tensorName) was read back with shape \(tensors[tensorName]?.shape ?? []), "
                        + "and written with \(original.shape)")
            }
            let (error, square) = Self.squares(tensor, original)
            guard error.isFinite else {
                throw CheckpointError.unwritable(
                    path: path, reason: "\(tensorName) was read back with values that are no numbers")
            }
            var sum = sums[tensor.elementType] ?? (0, 0, 0, 0)
            sum = (sum.tensors + 1, sum.bytes + tensor.byteCount, sum.error + error, sum.square + square)
            sums[tensor.elementType] = sum
        }
        self.name = name
        self.bytes = bytes
        shares = sums.map { type, sum in
            Share(
                type: type.rawValue, tensors: sum.tensors, bytes: sum.bytes,
                relativeError: sum.square == 0 ? 0 : (sum.error / sum.square).squareRoot())
        }.sorted { ($1.bytes, $0.type) < ($0.bytes, $1.type) }
    }

    /// The sums of squares of the difference of two tensors and of the second one.
    private static func squares(_ tensor: Tensor, _ original: Tensor) -> (error: Double, square: Double) {
        guard tensor.elementType.isFloatingPoint, original.elementType.isFloatingPoint else { return (0, 0) }
        let columns = tensor.shape.last ?? 1
        guard tensor.count > 0 else { return (0, 0) }
        let shape = [tensor.count / columns, columns]
        let (a, b) = (tensor.reshaped(to: shape), original.reshaped(to: shape))
        let count = min(comparedRows, a.rows)
        let rows = (0..<count).map { $0 * a.rows / count }
        return zip(a.gatheredRows(rows).floats, b.gatheredRows(rows).floats).reduce(into: (0, 0)) { sum, pair in
            let difference = Double(pair.0) - Double(pair.1)
            sum.0 += difference * difference
            sum.1 += Double(pair.1) * Double(pair.1)
        }
    }
}
