internal import Bytes
package import Tensors

/// An ONNX model, memory-mapped: the weights of its graph and the operations that use them.
///
/// Only what tells weights apart is read; subgraphs, constants inside nodes and shapes of values are passed over.
/// Format: `onnx/onnx.proto` of github.com/onnx/onnx, in the Protocol Buffers wire format.
public struct ONNXFile: Sendable {
    /// Where the file lies.
    public var path: String { file.path }
    /// What wrote it, `pytorch 2.7.0`; empty if it does not say.
    public let producer: String
    /// Version of the format.
    public let irVersion: Int
    /// Version of the standard operators.
    public let operatorSetVersion: Int
    /// The operations in order.
    public let nodes: [ONNXNode]
    /// The weights in order.
    public let initializers: [ONNXInitializer]
    /// Anonymous weights of linear layers by their name in the graph, see `ONNXFile+Weights`.
    let linearWeights: [String: LinearWeight]
    let file: MemoryMappedFile

    /// Maps the file at `path` and reads its structure; elements are read when they are used.
    /// - Throws: `CheckpointError` with the place at which the file breaks the format, and for elements in other files.
    public init(path: String) throws {
        try self.init(MemoryMappedFile.open(path))
    }

    /// Reads bytes that stand for a file.
    package init(_ file: MemoryMappedFile) throws {
        try WeightsFormat.onnx.check(file)
        var allowance = ONNXAllowance()
        var model = try FileMessage(file, file: file.path, part: "ONNX model")
        var (producer, producerVersion, irVersion, operatorSetVersion) = ("", "", 0, 0)
        var graph: FileMessage?
        while let field = try model.next() {
            try allowance.take(model, field)
            switch field.number {
            case 1: irVersion = try model.integer(of: field)
            case 2: producer = try model.text(of: field)
            case 3: producerVersion = try model.text(of: field)
            case 7:
                guard graph == nil else {
                    throw model.damaged(field, expected: "one graph", got: "a second one")
                }
                graph = try model.message(in: field, part: "ONNX graph")
            case 8:
                let (domain, version) = try Self.operatorSet(model.message(in: field, part: "ONNX operator set"))
                if domain.isEmpty || domain == "ai.onnx" { operatorSetVersion = version }
            default: break
            }
        }

        var nodes: [ONNXNode] = []
        var initializers: [ONNXInitializer] = []
        var names: Set<String> = []
        while let field = try graph?.next(), let graph {
            try allowance.take(graph, field)
            switch field.number {
            case 1: nodes.append(try ONNXNode(graph.message(in: field, part: "ONNX node"), &allowance))
            case 5:
                let message = try graph.message(in: field, part: "ONNX initializer")
                let initializer = try ONNXInitializer(message, file: file.path, &allowance)
                guard names.insert(initializer.name).inserted else {
                    throw CheckpointError.duplicateTensor(name: initializer.name, files: [file.path])
                }
                initializers.append(initializer)
            case 15:
                throw CheckpointError.unsupportedFormat(
                    file: file.path, found: "an ONNX model with sparse weights", advice: "save them dense")
            default: break
            }
        }
        self.file = file
        self.producer = [producer, producerVersion].filter { !$0.isEmpty }.joined(separator: " ")
        self.irVersion = irVersion
        self.operatorSetVersion = operatorSetVersion
        self.nodes = nodes
        self.initializers = initializers
        linearWeights = Self.linearWeights(of: initializers, in: nodes)
    }

    /// Reads an `OperatorSetIdProto`.
    private static func operatorSet(_ message: FileMessage) throws -> (domain: String, version: Int) {
        var message = message
        var (domain, version) = ("", 0)
        while let field = try message.next() {
            switch field.number {
            case 1: domain = try message.text(of: field)
            case 2: version = try message.integer(of: field)
            default: break
            }
        }
        return (domain, version)
    }

    /// Whether a file is built like an ONNX model. The format has no signature: the version of the format comes first,
    /// then fields that a model has, up to the graph.
    static func hasStructure(_ file: MemoryMappedFile) -> Bool {
        let types: [Int: FileMessage.WireType] = [
            1: .varint, 2: .bytes, 3: .bytes, 4: .bytes, 5: .varint, 6: .bytes, 8: .bytes, 14: .bytes,
        ]
        guard var model = try? FileMessage(file, file: file.path, part: "ONNX model"),
            let first = try? model.next(), first.number == 1, case .varint(1...255) = first.value
        else { return false }
        for _ in 0..<32 {
            // A graph that is cut short is still one: what is wrong with it is said when it is read.
            guard let tag = try? model.tag() else { return false }
            if tag.number == 7, tag.type == .bytes { return true }
            guard types[tag.number] == tag.type, (try? model.value(tag)) != nil else { return false }
        }
        return false
    }
}
