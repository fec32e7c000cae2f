/// A weight that is trained: float32 values of its own, and the gradient gathered for them.
///
/// Invariant that makes `@unchecked Sendable` true: values change only inside `update`, and whoever calls it holds the
/// model exclusively, so that nothing reads them at the same time; the same holds for `load`. This is the one place
/// where the storage of a tensor changes after it was made.
public final class Parameter: @unchecked Sendable {
    /// Its name in the checkpoint.
    public let name: String
    /// The values, tracked: what layers compute with. It, and every view of it, shows the values as they are now.
    public let tensor: Tensor
    let buffer: GradientBuffer

    /// A parameter that begins with a copy of `values`, widened to float32.
    public init(_ name: String, _ values: Tensor) {
        let (copy, elements) = Tensor.uninitialized(shape: values.shape)
        let widened = values.widened
        elements.update(from: widened.floatPointer, count: copy.count)
        self.name = name
        buffer = GradientBuffer(count: copy.count)
        tensor = copy.with(GradientNode(shape: copy.shape, buffer: buffer))
    }

    /// Number of elements.
    public var count: Int { tensor.count }

    /// A copy of the gradient gathered since it was last cleared; nil if there is none.
    public var gradient: Tensor? {
        buffer.isEmpty
            ? nil : Tensor(shape: tensor.shape) { _ = $0.update(fromContentsOf: buffer.elements) }
    }

    /// Forgets the gradient.
    public func clearGradient() { buffer.isEmpty = true }

    /// Gives `body` the values to change, and the gradient, nil if nothing flowed here.
    ///
    /// The caller holds the model exclusively: no forward or backward pass may run at the same time.
    public func update<Result>(
        _ body: (_ values: UnsafeMutableBufferPointer<Float>, _ gradient: UnsafeBufferPointer<Float>?) throws -> Result
    ) rethrows -> Result {
        let values = UnsafeMutablePointer(mutating: tensor.floatPointer)
        return try withExtendedLifetime(self) {
            try body(
                UnsafeMutableBufferPointer(start: values, count: count),
                buffer.isEmpty ? nil : UnsafeBufferPointer(buffer.elements))
        }
    }

    /// Replaces the values, as when training resumes. The caller holds the model exclusively.
    public func load(_ values: Tensor) {
        precondition(values.shape == tensor.shape, "\(values.shape) for \(name) \(tensor.shape)")
        let widened = values.widened
        update { target, _ in
            widened.withFloats { _ = target.update(fromContentsOf: $0) }
        }
    }
}

/// The memory that the gradient of a parameter is gathered in.
///
/// Invariant that makes `@unchecked Sendable` true: only one backward pass, or one optimiser, works on a model at a time.
final class GradientBuffer: @unchecked Sendable {
    let elements: UnsafeMutableBufferPointer<Float>
    /// Whether the elements mean nothing yet.
    var isEmpty = true

    init(count: Int) {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * 4, alignment: 64)
        elements = UnsafeMutableBufferPointer(
            start: memory.bindMemory(to: Float.self, capacity: max(count, 1)), count: count)
    }

    deinit { UnsafeMutableRawPointer(elements.baseAddress)?.deallocate() }

    func accumulate(_ body: (UnsafeMutablePointer<Float>, Bool) -> Void) {
        guard let start = elements.baseAddress else { return }
        body(start, !isEmpty)
        isEmpty = false
    }
}
