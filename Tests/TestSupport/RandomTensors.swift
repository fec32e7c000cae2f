public import Tensors

extension Tensor {
    /// A float32 tensor of values in -amplitude...amplitude that depend on the seed alone.
    public static func random(_ shape: [Int], seed: UInt64, amplitude: Float = 1) -> Tensor {
        var generator = SeededGenerator(seed: seed)
        return Tensor(generator.floats(shape.reduce(1, *)).map { $0 * amplitude }, shape: shape)
    }

    /// The same values stored in half the bits, the rest cut off.
    public var asBFloat16: Tensor {
        let bytes = floats.flatMap { value in
            let bits = UInt16(value.bitPattern >> 16)
            return [UInt8(bits & 255), UInt8(bits >> 8)]
        }
        return Tensor(copying: bytes, shape: shape, elementType: .bfloat16)
    }

    /// The elements' bytes.
    public var bytes: [UInt8] { withBytes { Array($0) } }

    /// Largest absolute difference to another tensor of the same shape.
    public func distance(to other: Tensor) -> Float {
        precondition(shape == other.shape, "\(shape) and \(other.shape)")
        return zip(floats, other.floats).reduce(0) { largest, pair in
            let difference = abs(pair.0 - pair.1)
            return difference.isNaN ? .infinity : max(largest, difference)
        }
    }
}

extension ComputeContext {
    /// Every kernel set of this processor, on one thread.
    public static var everyKernelSet: [ComputeContext] {
        KernelSet.available.map { ComputeContext(kernels: $0, threads: 1) }
    }
}
