import CKernels

/// One walk back through a graph: the gradients that have been computed and not yet passed on.
///
/// Nodes are visited in an order that the graph alone decides, and each contribution is added in that order, so the
/// bytes do not depend on the number of threads. A gradient is dropped as soon as it has been passed on.
package final class GradientPass {
    private struct Pending {
        var gradient: Tensor
        /// Whether nobody else reads the gradient's storage, so that it can be added to in place.
        var isOwned: Bool
    }

    private var pending: [ObjectIdentifier: Pending] = [:]

    /// Walks back from `root`, whose gradient is `gradient`.
    /// - Parameter leaves: nodes whose gradients are wanted afterwards.
    /// - Returns: a gradient for each of `leaves`, nil for one that nothing flowed to.
    static func run(from root: GradientNode, gradient: Tensor, leaves: [GradientNode] = []) -> [Tensor?] {
        let pass = GradientPass()
        let kept = Set(leaves.map { ObjectIdentifier($0) })
        pass.add(gradient, to: root)
        withoutGradients {
            for node in order(from: root) where !kept.contains(ObjectIdentifier(node)) {
                guard let entry = pass.pending.removeValue(forKey: ObjectIdentifier(node)) else { continue }
                node.backward(entry.gradient, pass)
            }
        }
        return leaves.map { pass.pending[ObjectIdentifier($0)]?.gradient }
    }

    /// Nodes from `root` on, each before those it was computed from.
    private static func order(from root: GradientNode) -> [GradientNode] {
        var finished: [GradientNode] = []
        var seen: Set<ObjectIdentifier> = [ObjectIdentifier(root)]
        // A stack of its own: a graph is deeper than that of a thread may be.
        var stack: [(node: GradientNode, next: Int)] = [(root, 0)]
        while let (node, next) = stack.last {
            if next == node.inputs.count {
                finished.append(node)
                stack.removeLast()
                continue
            }
            stack[stack.count - 1].next += 1
            let input = node.inputs[next]
            if seen.insert(ObjectIdentifier(input)).inserted { stack.append((input, 0)) }
        }
        return finished.reversed()
    }

    /// Adds a contribution that has been computed; nothing happens if no gradient is wanted.
    /// - Parameter node: the node of the tensor the contribution is for.
    func add(_ contribution: Tensor, to node: GradientNode?) {
        guard let node else { return }
        if node.buffer == nil && pending[ObjectIdentifier(node)] == nil {
            pending[ObjectIdentifier(node)] = Pending(gradient: contribution.reshaped(to: node.shape), isOwned: false)
            return
        }
        let source = contribution.floatPointer
        if let entry = pending[ObjectIdentifier(node)], !entry.isOwned {
            let sum = entry.gradient + contribution.reshaped(to: node.shape)
            pending[ObjectIdentifier(node)] = Pending(gradient: sum, isOwned: true)
            return
        }
        accumulate(into: node) { target, accumulates in
            addElements(source, to: target, count: contribution.count, accumulates: accumulates)
        }
    }

    /// Adds a contribution to the gradient of a tensor, for operations of other modules.
    package func add(_ contribution: Tensor, to tensor: Tensor) { add(contribution, to: tensor.node) }

    /// Gives `body` the gradient of a node to write, or to add to if `accumulates`; does nothing if none is wanted.
    func accumulate(
        into node: GradientNode?, _ body: (_ gradient: UnsafeMutablePointer<Float>, _ accumulates: Bool) -> Void
    ) {
        guard let node else { return }
        if let buffer = node.buffer {
            buffer.accumulate(body)
            return
        }
        let entry = pending[ObjectIdentifier(node)]
        if let entry, entry.isOwned {
            body(entry.gradient.mutablePointer, true)
            return
        }
        let (gradient, elements) = Tensor.uninitialized(shape: node.shape)
        if let entry { elements.update(from: entry.gradient.floatPointer, count: gradient.count) }
        body(elements, entry != nil)
        pending[ObjectIdentifier(node)] = Pending(gradient: gradient, isOwned: true)
    }
}

extension Tensor {
    /// The elements of a gradient that its pass owns.
    fileprivate var mutablePointer: UnsafeMutablePointer<Float> { UnsafeMutablePointer(mutating: floatPointer) }

    /// Walks back from this tensor and adds to the gradients of the parameters it was computed from.
    /// - Parameter gradient: that of the tensor, in its shape; 1 for a tensor of one element.
    public func backward(from gradient: Tensor? = nil) {
        precondition(gradient != nil || count == 1, "a gradient wanted for \(shape)")
        precondition(gradient == nil || gradient?.shape == shape, "gradient \(gradient?.shape ?? []) of \(shape)")
        guard let node else { return }
        _ = GradientPass.run(from: node, gradient: gradient ?? Tensor(repeating: 1, shape: shape))
    }
}

/// Writes or adds elements on all threads.
func addElements(
    _ source: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>, count: Int, accumulates: Bool
) {
    let context = ComputeContext.current
    let table = context.table
    context.forEachRows(count, columns: 1) { range in
        let (source, target) = (source + range.lowerBound, target + range.lowerBound)
        if accumulates {
            table.add_scaled(Int64(range.count), target, 1, source, target)
        } else {
            target.update(from: source, count: range.count)
        }
    }
}
