// Conversion of weights to the types that GGUF files are written in.
import CKernels
import Synchronization

extension ElementType {
    /// The types that weights can be converted to: float32, float16 and every type of blocks.
    public static let writable: [ElementType] = [
        .float32, .float16, .q8_0, .q6_K, .q5_K, .q5_1, .q5_0, .q4_K, .q4_1, .q4_0,
    ]
}

extension Tensor {
    /// The elements in another of the types that are `writable`; the tensor itself if it is of that type already.
    ///
    /// Blocks of 32 are those of ggml's reference quantisers (`quantize_row_q8_0_ref` and its like in ggml-quants.c), each
    /// operation rounded to float32. A build of llama.cpp whose compiler fuses multiplications with additions can differ
    /// from them by one code where a value lies half-way between two. Blocks of 256 have ggml's layout, and scales of our
    /// own choice (CKernels/quantize_k.c).
    /// - Throws: `QuantizationError` for another type, for rows that are not whole blocks, and for an element that is not
    ///   finite or too large for float16 or for the float16 scale of its block.
    /// - Complexity: O(count).
    public func converted(to type: ElementType) throws -> Tensor {
        if elementType == type { return self }
        guard ElementType.writable.contains(type) else { throw QuantizationError.unsupported(type) }
        guard type.fits(shape) else { throw QuantizationError.partialBlocks(type, shape: shape) }
        let isPlain = elementType.isFloatingPoint && elementType != .float64
        let source = isPlain ? self : Tensor(floats, shape: shape)
        if type == .float32 { return source.widened }
        // Whole blocks of either type, about 64 KB of float32 for a task.
        let chunk = 16_384
        let storage = TensorStorage(byteCount: type.byteCount(of: count))
        let narrowed = Tensor(shape: shape, elementType: type, storage: storage, byteOffset: 0)
        let context = ComputeContext.current
        let refused = Mutex<Int?>(nil)
        context.pool.run((count + chunk - 1) / chunk) { task in
            let start = task * chunk
            let length = min(chunk, count - start)
            let target = storage.base + type.byteCount(of: start)
            let element: Int64
            if source.elementType == .float32 {
                element = vlm_narrow(narrowed.kernelStorage, Int64(length), source.floatPointer + start, target)
            } else {
                let wide = Scratch(length)
                let values = source.rawPointer + source.elementType.byteCount(of: start)
                context.table.widen(source.kernelStorage, Int64(length), values, wide.floats)
                element = vlm_narrow(narrowed.kernelStorage, Int64(length), wide.floats, target)
            }
            guard element >= 0 else { return }
            refused.withLock { $0 = min($0 ?? .max, start + Int(element)) }
        }
        if let element = refused.withLock({ $0 }) {
            throw QuantizationError.outOfRange(element: element, value: floats[element])
        }
        return narrowed
    }
}

/// What keeps weights from being stored in another type.
public enum QuantizationError: Error, Equatable, CustomStringConvertible {
    /// Weights cannot be converted to this type.
    case unsupported(ElementType)
    /// A row has a number of elements that is not a multiple of the block.
    case partialBlocks(ElementType, shape: [Int])
    /// The element at an index in row-major order, or the scale of its block, cannot be stored.
    case outOfRange(element: Int, value: Float)

    /// One sentence for a person.
    public var description: String {
        switch self {
        case .unsupported(let type):
            "weights cannot be converted to \(type.rawValue); choose one of "
                + ElementType.writable.map(\.rawValue).joined(separator: ", ")
        case .partialBlocks(let type, let shape):
            "a tensor of shape \(shape) cannot be stored as \(type.rawValue), whose rows are multiples of \(type.blockCount)"
        case .outOfRange(let element, let value):
            "element \(element) is \(value), which cannot be stored in the type wanted; are these weights damaged?"
        }
    }
}
