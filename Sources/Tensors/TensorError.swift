/// What can go wrong when tensors are made from outside data.
public enum TensorError: Error, Equatable, CustomStringConvertible {
    /// A file could not be opened, examined or mapped.
    case unreadable(path: String, reason: String)
    /// A tensor's bytes do not lie inside its storage.
    case outOfBounds(name: String, offset: Int, byteCount: Int, available: Int)
    /// A tensor has another shape than the model expects. -1 in `expected` stands for any extent.
    case shape(name: String, expected: [Int], got: [Int])
    /// A tensor's elements cannot be used here.
    case elementType(name: String, expected: String, got: ElementType)

    /// What went wrong, and what to do next.
    public var description: String {
        switch self {
        case .unreadable(let path, let reason):
            "cannot read \(path): \(reason)"
        case .outOfBounds(let name, let offset, let byteCount, let available):
            "tensor \(name) takes \(byteCount) bytes from offset \(offset) of a file with \(available): the file is damaged or incomplete"
        case .shape(let name, let expected, let got):
            "tensor \(name) has shape \(got), expected \(expected.map { $0 < 0 ? "any" : String($0) }): does config.json belong to these weights?"
        case .elementType(let name, let expected, let got):
            "tensor \(name) holds \(got.rawValue), expected \(expected)"
        }
    }
}
