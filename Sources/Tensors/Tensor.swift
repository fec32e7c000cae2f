/// A dense array of numbers with a shape, row-major and contiguous.
///
/// A tensor is a value: operations return new tensors and never change their arguments. Activations are float32;
/// weights keep the element type of their file and are widened to float32 inside the kernels that read them. Of
/// block-quantised elements every row is whole blocks, and so is every view.
public struct Tensor: Sendable {
    /// Extents, outermost first; `[]` is a scalar.
    public let shape: [Int]
    /// How the elements are stored.
    public let elementType: ElementType
    let storage: TensorStorage
    let byteOffset: Int
    /// The way back to what this tensor was computed from; nil where no gradient is wanted.
    let node: GradientNode?

    init(
        shape: [Int], elementType: ElementType, storage: TensorStorage, byteOffset: Int, node: GradientNode? = nil
    ) {
        precondition(elementType.fits(shape), "rows of \(shape) are not whole blocks of \(elementType.rawValue)")
        self.shape = shape
        self.elementType = elementType
        self.storage = storage
        self.byteOffset = byteOffset
        self.node = node
    }

    /// Number of elements.
    public var count: Int { shape.reduce(1, *) }
    /// Number of dimensions.
    public var rank: Int { shape.count }
    /// Bytes of the elements.
    public var byteCount: Int { elementType.byteCount(of: count) }
    /// Extent of the last dimension; 1 for a scalar.
    public var columns: Int { shape.last ?? 1 }
    /// Product of all extents but the last: the number of rows when the tensor is read as a matrix.
    public var rows: Int { shape.dropLast().reduce(1, *) }
}

// MARK: - Making tensors

extension Tensor {
    /// A float32 tensor whose elements `initialize` writes, every one of them.
    public init(shape: [Int], initializingWith initialize: (UnsafeMutableBufferPointer<Float>) throws -> Void) rethrows
    {
        let count = shape.reduce(1, *)
        let storage = TensorStorage(byteCount: count * 4)
        let elements = storage.base.bindMemory(to: Float.self, capacity: max(count, 1))
        try initialize(UnsafeMutableBufferPointer(start: elements, count: count))
        self.init(shape: shape, elementType: .float32, storage: storage, byteOffset: 0)
    }

    /// A float32 tensor of `values` in row-major order.
    public init(_ values: [Float], shape: [Int]) {
        precondition(values.count == shape.reduce(1, *), "\(values.count) values cannot have shape \(shape)")
        self.init(shape: shape) { _ = $0.update(fromContentsOf: values) }
    }

    /// A float32 tensor filled with one value.
    public init(repeating value: Float, shape: [Int]) {
        self.init(shape: shape) { $0.update(repeating: value) }
    }

    /// An int32 tensor of `values`, each within its range, in row-major order.
    public init(integers values: [Int], shape: [Int]) {
        precondition(values.count == shape.reduce(1, *), "\(values.count) values cannot have shape \(shape)")
        let bytes = values.map(Int32.init).withUnsafeBytes { Array($0) }
        self.init(copying: bytes, shape: shape, elementType: .int32)
    }

    /// A float32 tensor of zeros that takes no memory until it is copied: what stands in for a weight that is missing.
    /// Nil if the shape cannot be addressed.
    public static func zeros(shape: [Int]) -> Tensor? {
        guard let byteCount = try? byteCount(named: "", shape: shape, elementType: .float32),
            let storage = TensorStorage(zeros: byteCount)
        else { return nil }
        return Tensor(shape: shape, elementType: .float32, storage: storage, byteOffset: 0)
    }

    /// A tensor over a copy of `bytes`, which hold its elements in row-major order.
    public init(copying bytes: [UInt8], shape: [Int], elementType: ElementType) {
        let byteCount = elementType.byteCount(of: shape.reduce(1, *))
        precondition(bytes.count == byteCount, "\(bytes.count) bytes, shape \(shape)")
        let storage = TensorStorage(byteCount: bytes.count)
        bytes.withUnsafeBytes {
            storage.base.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(storage.base), byteCount: $0.count)
        }
        self.init(shape: shape, elementType: elementType, storage: storage, byteOffset: 0)
    }

    /// A tensor over bytes of a mapped file, used in place.
    ///
    /// Elements that lie misaligned in the file are copied once, so that every tensor can be read as its type.
    /// - Throws: `TensorError.outOfBounds` if the elements do not lie inside the file.
    public init(
        named name: String, mapping file: MemoryMappedFile, at byteOffset: Int, shape: [Int], elementType: ElementType
    ) throws {
        let byteCount = try Self.byteCount(named: name, shape: shape, elementType: elementType)
        guard byteOffset >= 0, byteOffset <= file.byteCount, byteCount <= file.byteCount - byteOffset else {
            throw TensorError.outOfBounds(
                name: name, offset: byteOffset, byteCount: byteCount, available: file.byteCount)
        }
        if byteOffset % elementType.alignment == 0 {
            self.init(
                shape: shape, elementType: elementType, storage: TensorStorage(mapping: file), byteOffset: byteOffset)
        } else {
            let storage = TensorStorage(byteCount: byteCount)
            storage.base.copyMemory(from: file.base + byteOffset, byteCount: byteCount)
            self.init(shape: shape, elementType: elementType, storage: storage, byteOffset: 0)
        }
    }

    /// Bytes that a tensor of this shape takes, refusing negative extents, overflow and rows that are not whole blocks.
    static func byteCount(named name: String, shape: [Int], elementType: ElementType) throws -> Int {
        guard elementType.fits(shape) else { throw TensorError.shape(name: name, expected: [], got: shape) }
        var total = elementType.blockByteCount
        for extent in shape {
            let (product, overflow) = total.multipliedReportingOverflow(by: extent)
            guard extent >= 0, !overflow else { throw TensorError.shape(name: name, expected: [], got: shape) }
            total = product
        }
        return total / elementType.blockCount
    }
}

// MARK: - Reading elements

extension Tensor {
    /// The elements' bytes.
    public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try withExtendedLifetime(storage) {
            try body(UnsafeRawBufferPointer(start: storage.base + byteOffset, count: byteCount))
        }
    }

    /// The elements of a float32 tensor.
    public func withFloats<Result>(_ body: (UnsafeBufferPointer<Float>) throws -> Result) rethrows -> Result {
        precondition(elementType == .float32, "float32 elements wanted, tensor holds \(elementType.rawValue)")
        return try withBytes { try body($0.assumingMemoryBound(to: Float.self)) }
    }

    /// The elements as float32, whatever they are stored as.
    public var floats: [Float] {
        withBytes { bytes in
            switch elementType {
            case .float32: Array(bytes.assumingMemoryBound(to: Float.self))
            case .float64: bytes.assumingMemoryBound(to: Double.self).map { Float($0) }
            case .float16: bytes.assumingMemoryBound(to: UInt16.self).map(Self.widenHalf)
            case .bfloat16: bytes.assumingMemoryBound(to: UInt16.self).map { Float(bitPattern: UInt32($0) << 16) }
            case _ where elementType.isBlockQuantized: widened.floats
            default: integers(bytes).map { Float($0) }
            }
        }
    }

    /// The elements of an integer or Boolean tensor.
    public var integers: [Int] {
        precondition(!elementType.isFloatingPoint, "integers wanted, tensor holds \(elementType.rawValue)")
        return withBytes(integers)
    }

    private func integers(_ bytes: UnsafeRawBufferPointer) -> [Int] {
        switch elementType {
        case .int64: bytes.assumingMemoryBound(to: Int64.self).map { Int($0) }
        case .int32: bytes.assumingMemoryBound(to: Int32.self).map { Int($0) }
        case .int16: bytes.assumingMemoryBound(to: Int16.self).map { Int($0) }
        case .int8: bytes.assumingMemoryBound(to: Int8.self).map { Int($0) }
        default: bytes.map { Int($0) }
        }
    }

    private static func widenHalf(_ bits: UInt16) -> Float {
        let sign: Float = bits & 0x8000 == 0 ? 1 : -1
        let exponent = Int(bits >> 10 & 31)
        let fraction = Float(bits & 1023)
        switch exponent {
        case 0: return sign * fraction * 0x1p-24
        case 31: return fraction == 0 ? sign * .infinity : .nan
        default: return sign * (1 + fraction / 1024) * Float(sign: .plus, exponent: exponent - 15, significand: 1)
        }
    }
}

// MARK: - Views

extension Tensor {
    /// The same elements under another shape of the same count.
    public func reshaped(to shape: [Int]) -> Tensor {
        precondition(shape.reduce(1, *) == count, "\(self.shape) cannot be reshaped to \(shape)")
        let view = Tensor(shape: shape, elementType: elementType, storage: storage, byteOffset: byteOffset)
        guard isTracking(self) else { return view }
        return view.recorded(from: [self]) { [node] gradient, pass in pass.add(gradient, to: node) }
    }

    /// Entries `range` of the first dimension, without copying; of a vector of blocks, whole blocks.
    public subscript(range: Range<Int>) -> Tensor {
        precondition(rank > 0 && range.lowerBound >= 0 && range.upperBound <= shape[0], "\(range) of \(shape)")
        let entry = shape.dropFirst().reduce(1, *)
        let view = Tensor(
            shape: [range.count] + shape.dropFirst(), elementType: elementType, storage: storage,
            byteOffset: byteOffset + elementType.byteCount(of: range.lowerBound * entry))
        guard isTracking(self) else { return view }
        return view.recorded(from: [self]) { [node, count] gradient, pass in
            pass.accumulate(into: node) { target, accumulates in
                if !accumulates { target.update(repeating: 0, count: count) }
                addElements(
                    gradient.floatPointer, to: target + range.lowerBound * entry, count: gradient.count,
                    accumulates: accumulates)
            }
        }
    }

    /// Entry `index` of the first dimension, without copying.
    public subscript(index: Int) -> Tensor {
        self[index..<index + 1].reshaped(to: Array(shape.dropFirst()))
    }
}
