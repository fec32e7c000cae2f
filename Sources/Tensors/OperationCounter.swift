import Synchronization

/// Floating-point operations of what was computed, counted from the shapes that operations were given.
///
/// A multiply-add is two operations. Products, attention (of the keys that each query sees) and convolutions count;
/// norms, activations and sums, which are some thousandths of them, do not. An operation counts once however many
/// threads share it, and products of ways back count as well.
public final class OperationCounter: Sendable {
    private let operations = Atomic<Int>(0)

    /// A counter at 0.
    public init() {}

    /// Operations so far.
    public var count: Int { operations.load(ordering: .relaxed) }

    /// Operations that `body` adds, if nothing else counts here meanwhile.
    public func counting<Result: ~Copyable>(
        into sum: inout Int, _ body: () throws -> Result
    ) rethrows -> Result {
        let before = count
        defer { sum += count - before }
        return try body()
    }

    package func add(multiplyAdds: Int) { operations.add(2 * multiplyAdds, ordering: .relaxed) }
}
