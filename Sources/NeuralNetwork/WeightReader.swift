public import Tensors

/// Hands out the tensors of a checkpoint to the layers that are built from them, and remembers what was wrong.
///
/// A layer asks for what it needs and gets a tensor of the right shape in any case; `finish` then reports every tensor
/// that was missing or of another shape at once, so that a person sees the whole list.
public final class WeightReader {
    private final class Findings {
        var missing: [String] = []
        var mismatched: [String] = []
        var used: Set<String> = []
        var parameters: [Parameter] = []
        var statistics: [String: RunningStatistics] = [:]
        var adapters: [String: LowRankAdapter] = [:]
        /// Draws what does not exist, where weights are made.
        var initializer: WeightInitializer?
        var drawnType = ElementType.float32
        var drawn: [String: Tensor] = [:]
        var observer: (_ byteCount: Int) -> Void = { _ in }
        var drawnBytes = 0
    }

    private let tensors: [String: Tensor]
    private let prefix: String
    private let isTrained: (String) -> Bool
    private let findings: Findings
    /// Which maps have adapters; nil for none.
    let adaptation: LowRankAdaptation?
    /// What native products round the weights of maps to; nil for the type they are stored in.
    public let blocks: ElementType?

    /// A reader of the given tensors.
    /// - Parameter isTrained: the full names of the weights that become parameters: float32 copies that gradients are
    ///   gathered for. The others stay as they are stored; gradients flow through them.
    /// - Parameter adaptation: which maps have adapters of low rank.
    public convenience init(
        _ tensors: [String: Tensor], training isTrained: @escaping (String) -> Bool = { _ in false },
        adaptation: LowRankAdaptation? = nil
    ) {
        self.init(tensors, prefix: "", training: isTrained, findings: Findings(), adaptation: adaptation)
    }

    /// A reader of weights that do not exist yet: every tensor that a layer asks for is drawn by its name and shape.
    /// - Parameters:
    ///   - type: what matrices are kept in.
    ///   - known: tensors that are taken as they are.
    ///   - observer: is told how many bytes were drawn.
    public convenience init(
        drawing initializer: WeightInitializer, as type: ElementType = .float32, known: [String: Tensor] = [:],
        observer: @escaping (_ byteCount: Int) -> Void = { _ in }
    ) {
        let findings = Findings()
        findings.drawnType = type
        findings.observer = observer
        findings.initializer = initializer
        self.init(known, prefix: "", training: { _ in false }, findings: findings, adaptation: nil)
    }

    private init(
        _ tensors: [String: Tensor], prefix: String, training isTrained: @escaping (String) -> Bool, findings: Findings,
        adaptation: LowRankAdaptation?, blocks: ElementType? = nil
    ) {
        self.adaptation = adaptation
        self.blocks = blocks
        self.tensors = tensors
        self.prefix = prefix
        self.isTrained = isTrained
        self.findings = findings
    }

    /// The parameters handed out so far, in the order they were first asked for.
    public var parameters: [Parameter] { findings.parameters }
    /// The running averages handed out so far, by the prefix of their `running_mean` and `running_var`.
    public var statistics: [String: RunningStatistics] { findings.statistics }
    /// The adapters handed out so far, by the names of the weights they stand beside.
    public var adapters: [String: LowRankAdapter] { findings.adapters }
    /// The tensors that were drawn so far, by name.
    public var drawn: [String: Tensor] { findings.drawn }

    /// A reader of the tensors whose names go on after `name` and a dot.
    public func scoped(_ name: String) -> WeightReader {
        WeightReader(
            tensors, prefix: prefix + name + ".", training: isTrained, findings: findings, adaptation: adaptation,
            blocks: blocks)
    }

    /// A reader of the same tensors whose maps round their weights to blocks of `type` for native products, or to none.
    public func quantizing(to type: ElementType?) -> WeightReader {
        WeightReader(
            tensors, prefix: prefix, training: isTrained, findings: findings, adaptation: adaptation, blocks: type)
    }

    /// Whether a tensor of this name exists.
    public func contains(_ name: String) -> Bool { tensors[prefix + name] != nil }

    /// A weight in the type it is stored in, float32, bfloat16 or float16 (float64 is narrowed to float32); one that is
    /// trained as its parameter's tensor.
    /// - Parameter shape: what the model needs; the extents must agree.
    public func matrix(_ name: String, _ shape: [Int]) -> Tensor { tensor(name, shape, mayTrain: true) }

    /// `running_mean` and `running_var`, `[channels]` each, which are not trained but averaged while others are.
    /// - Parameter momentum: share of a batch in the averages.
    func runningStatistics(channels: Int, momentum: Float) -> RunningStatistics {
        let statistics = RunningStatistics(
            mean: tensor("running_mean", [channels], mayTrain: false).widened.floats,
            variance: tensor("running_var", [channels], mayTrain: false).widened.floats, momentum: momentum)
        findings.statistics[prefix] = statistics
        return statistics
    }

    private func tensor(_ name: String, _ shape: [Int], mayTrain: Bool) -> Tensor {
        let full = prefix + name
        guard let tensor = tensors[full] else {
            if let known = findings.drawn[full], known.shape == shape { return known }
            if var drawn = findings.initializer?.weight(named: full, shape) {
                if shape.count == 2, let kept = try? drawn.converted(to: findings.drawnType) { drawn = kept }
                findings.drawn[full] = drawn
                findings.drawnBytes += drawn.byteCount
                findings.observer(findings.drawnBytes)
                return drawn
            }
            findings.missing.append(full)
            return standIn(shape)
        }
        findings.used.insert(full)
        guard tensor.shape == shape, tensor.elementType.isFloatingPoint else {
            findings.mismatched.append(
                "\(full) is \(tensor.elementType.rawValue) \(tensor.shape), the configuration wants \(shape)")
            return standIn(shape)
        }
        if mayTrain && isTrained(full) { return parameter(full, tensor).tensor }
        return tensor.elementType == .float64 ? tensor.widened : tensor
    }

    /// A name with the reader's prefix.
    func fullName(_ name: String) -> String { prefix + name }

    /// The shape of a tensor; nil if there is none of this name.
    func shape(of name: String) -> [Int]? { tensors[prefix + name]?.shape }

    /// A weight that no checkpoint holds yet, as the tensor of its parameter.
    func parameter(_ name: String, drawn values: Tensor) -> Tensor { parameter(prefix + name, values).tensor }

    func remember(_ adapter: LowRankAdapter, of name: String) { findings.adapters[prefix + name] = adapter }

    private func parameter(_ name: String, _ values: Tensor) -> Parameter {
        if let known = findings.parameters.first(where: { $0.name == name }) { return known }
        let parameter = Parameter(name, values)
        findings.parameters.append(parameter)
        return parameter
    }

    /// Zeros of the wanted shape. `require` has bounded the extents by those of tensors that exist.
    private func standIn(_ shape: [Int]) -> Tensor {
        guard let zeros = Tensor.zeros(shape: shape) else { preconditionFailure("no address space for \(shape)") }
        return zeros
    }

    /// Checks the tensors whose shapes fix all extents of a model, before anything is built from its configuration.
    /// - Throws: `WeightError.unusable` if one of them is missing or has another shape.
    public func require(_ shapes: [(name: String, shape: [Int])], source: String) throws {
        let check = WeightReader(
            tensors, prefix: prefix, training: isTrained, findings: Findings(), adaptation: nil)
        for (name, shape) in shapes {
            let full = prefix + name
            guard let tensor = tensors[full] else {
                check.findings.missing.append(full)
                continue
            }
            if tensor.shape != shape {
                check.findings.mismatched.append(
                    "\(full) is \(tensor.elementType.rawValue) \(tensor.shape), the configuration wants \(shape)")
            }
        }
        try check.finish(source: source)
    }

    /// A small weight widened to float32: a bias, a norm, an embedding that is added.
    public func widened(_ name: String, _ shape: [Int]) -> Tensor { matrix(name, shape).widened }

    /// A vector widened to float32.
    public func vector(_ name: String, _ count: Int) -> Tensor { widened(name, [count]) }

    /// Throws if anything that was asked for is missing or has another shape.
    /// - Parameter source: the checkpoint's name for the message.
    /// - Throws: `WeightError.unusable` with the complete lists.
    public func finish(source: String) throws {
        guard findings.missing.isEmpty, findings.mismatched.isEmpty else {
            throw WeightError.unusable(
                source: source, missing: findings.missing.sorted(), mismatched: findings.mismatched.sorted())
        }
    }

    /// Names of tensors that no layer asked for.
    public var unused: [String] { tensors.keys.filter { !findings.used.contains($0) }.sorted() }
}

/// What keeps a model from being built from a checkpoint.
public enum WeightError: Error, Equatable, CustomStringConvertible {
    /// Tensors are missing, or have another shape than the configuration says.
    case unusable(source: String, missing: [String], mismatched: [String])

    /// What went wrong, and what to do next.
    public var description: String {
        switch self {
        case .unusable(let source, let missing, let mismatched):
            var lines = ["the weights in \(source) do not make the model its config.json describes"]
            if !missing.isEmpty { lines.append("missing (\(missing.count)):" + Self.list(missing)) }
            if !mismatched.isEmpty {
                lines.append("wrong shape or type (\(mismatched.count)):" + Self.list(mismatched))
            }
            lines.append("see what is there with: vlm inspect \(source)")
            return lines.joined(separator: "\n")
        }
    }

    /// The items a line each, cut where a reader would stop reading.
    private static func list(_ items: [String]) -> String {
        let lines = items.prefix(40) + (items.count > 40 ? ["and \(items.count - 40) more"] : [])
        return lines.map { "\n    " + $0 }.joined()
    }
}
