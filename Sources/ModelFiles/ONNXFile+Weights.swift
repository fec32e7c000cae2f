public import Tensors

// The names of weights. An exporter turns y = x wᵀ + b into a product with a constant wᵀ that it has computed and calls
// `onnx::MatMul_1966`; the operation's path still says which layer it is.

extension ONNXFile {
    /// What an anonymous weight is.
    struct LinearWeight: Sendable, Equatable {
        /// Name in the model that was exported: `encoder.layer.0.mlp.fc1.weight`.
        var name: String
        /// Whether it is stored `[in, out]`.
        var isTransposed: Bool
    }

    /// What follows the name of a weight that is stored `[in, out]`.
    public static let transposedSuffix = ".transposed"

    /// The weights as they are stored, those of linear layers under the names of their layers.
    ///
    /// Elements are used in place; those that lie misaligned in the file are copied. A weight of a linear layer that
    /// was stored `[in, out]` is called `….weight.transposed`.
    public func tensors() throws -> [String: Tensor] {
        try tensors { initializer, weight in
            guard let weight else { return (initializer.name, try tensor(initializer)) }
            return (weight.name + (weight.isTransposed ? Self.transposedSuffix : ""), try tensor(initializer))
        }
    }

    /// The weights with those of linear layers `[out, in]` under the names of their layers, as the exported model had
    /// them. Takes `transposedByteCount` bytes of memory, and those of tensors that lie misaligned.
    public func weights() throws -> [String: Tensor] {
        try tensors { initializer, weight in
            guard let weight else { return (initializer.name, try tensor(initializer)) }
            return (weight.name, try weight.isTransposed ? transposed(initializer) : tensor(initializer))
        }
    }

    /// Bytes of the weights that `weights()` turns round.
    public var transposedByteCount: Int {
        initializers.filter { linearWeights[$0.name]?.isTransposed == true }.reduce(0) { $0 + $1.byteCount }
    }

    /// The operations that read a value.
    public func nodes(reading value: String) -> [ONNXNode] { nodes.filter { $0.inputs.contains(value) } }

    private func tensors(
        _ body: (ONNXInitializer, LinearWeight?) throws -> (String, Tensor)
    ) throws -> [String: Tensor] {
        var tensors: [String: Tensor] = [:]
        for initializer in initializers {
            let (name, tensor) = try body(initializer, linearWeights[initializer.name])
            guard tensors.updateValue(tensor, forKey: name) == nil else {
                throw CheckpointError.duplicateTensor(name: name, files: [path])
            }
        }
        return tensors
    }

    private func tensor(_ initializer: ONNXInitializer) throws -> Tensor {
        switch initializer.contents {
        case .mapped(let offset):
            try Tensor(
                named: initializer.name, mapping: file, at: offset, shape: initializer.shape,
                elementType: initializer.elementType)
        case .decoded(let bytes):
            Tensor(copying: bytes, shape: initializer.shape, elementType: initializer.elementType)
        }
    }

    /// A matrix with rows and columns exchanged.
    private func transposed(_ initializer: ONNXInitializer) throws -> Tensor {
        let (rows, columns) = (initializer.shape[0], initializer.shape[1])
        switch initializer.contents {
        case .mapped(let offset):
            return try Tensor(
                named: initializer.name, gathering: file, at: offset, shape: [columns, rows], strides: [1, columns],
                elementType: initializer.elementType)
        case .decoded(let bytes):
            let size = initializer.elementType.byteCount
            var turned: [UInt8] = []
            turned.reserveCapacity(bytes.count)
            for column in 0..<columns {
                for row in 0..<rows {
                    let start = (row * columns + column) * size
                    turned += bytes[start..<start + size]
                }
            }
            return Tensor(copying: turned, shape: [columns, rows], elementType: initializer.elementType)
        }
    }
}

// MARK: - Names

extension ONNXFile {
    /// The anonymous matrices that a `MatMul` or `Gemm` multiplies by, by their name in the graph.
    ///
    /// A matrix that several layers share takes the name of the first. One whose name another weight has, or whose
    /// operation has no path, keeps its own.
    static func linearWeights(
        of initializers: [ONNXInitializer], in nodes: [ONNXNode]
    ) -> [String: LinearWeight] {
        let matrices = Set(initializers.filter { $0.shape.count == 2 && isAnonymous($0.name) }.map(\.name))
        var taken = Set(initializers.map(\.name))
        var weights: [String: LinearWeight] = [:]
        for node in nodes where ["MatMul", "Gemm"].contains(node.operation) && node.inputs.count > 1 {
            let input = node.inputs[1]
            guard matrices.contains(input), weights[input] == nil, let module = node.module else { continue }
            let weight = LinearWeight(
                name: module + ".weight",
                isTransposed: node.operation == "MatMul" || node.attributes["transB"] != .integer(1))
            guard !taken.contains(weight.name), !taken.contains(weight.name + transposedSuffix) else { continue }
            taken.insert(weight.name)
            weights[input] = weight
        }
        return weights
    }

    /// Whether an exporter made a name up: `onnx::MatMul_1966`, or in older versions a bare number.
    static func isAnonymous(_ name: String) -> Bool {
        name.hasPrefix("onnx::") || (!name.isEmpty && name.utf8.allSatisfy { (48...57).contains($0) })
    }
}
