import LLaVAPipeline
import NeuralNetwork
import Tensors
import Tokenization

/// Examples one after the other as the decoder reads them: each image's tokens once, its turns behind them.
///
///     example 0: [prefix | m visual tokens | turn | turn | ...]   example 1: [prefix | m visual tokens | turn | ...]
///
/// The prefix is causal in itself; a turn sees its example's prefix and itself, and its positions go on from the prefix.
struct PackedBatch {
    /// Text ids in order, without images.
    private(set) var textIDs: [Int] = []
    /// For each token its row among the text ids, or, counted from their end, among the visual tokens.
    private var sources: [Source] = []
    /// Position of each token.
    private(set) var positions: [Int] = []
    /// What each token should be followed by, or `CrossEntropyLoss.ignoredLabel`.
    private(set) var targets: [Int] = []
    /// Which tokens are visual.
    private(set) var isVisual: [Bool] = []
    /// The tokens of each example.
    private(set) var sequences: [Range<Int>] = []
    /// The tokens of each turn, with its kind.
    private(set) var turns: [(range: Range<Int>, type: String)] = []
    private var prefixes: [Range<Int>] = []
    private var owns: [Range<Int>] = []

    private enum Source {
        case text(Int)
        case visual(Int)
    }

    /// Packs examples whose images have `visualTokens` tokens each.
    init(_ examples: [TokenizedExample], visualTokens: Int) {
        var visualCount = 0
        for example in examples {
            let start = positions.count
            for id in example.prefix {
                let isImage = id == ImagePrompt.imageID
                for _ in 0..<(isImage ? visualTokens : 1) {
                    let index = positions.count
                    if isImage {
                        sources.append(.visual(visualCount))
                        visualCount += 1
                    } else {
                        sources.append(.text(textIDs.count))
                        textIDs.append(id)
                    }
                    append(isVisual: isImage, position: index - start, prefix: start..<index + 1, own: 0..<0)
                }
            }
            let prefixEnd = positions.count
            for turn in example.turns {
                let turnStart = positions.count
                for (offset, id) in turn.ids.enumerated() {
                    sources.append(.text(textIDs.count))
                    textIDs.append(id)
                    append(
                        isVisual: false, position: prefixEnd - start + offset, prefix: start..<prefixEnd,
                        own: turnStart..<turnStart + offset + 1)
                    if offset + 1 < turn.labels.count { targets[targets.count - 1] = turn.labels[offset + 1] }
                }
                turns.append((turnStart..<positions.count, turn.type))
            }
            sequences.append(start..<positions.count)
        }
    }

    private mutating func append(isVisual: Bool, position: Int, prefix: Range<Int>, own: Range<Int>) {
        self.isVisual.append(isVisual)
        positions.append(position)
        prefixes.append(prefix)
        owns.append(own.isEmpty ? prefix.upperBound..<prefix.upperBound : own)
        targets.append(CrossEntropyLoss.ignoredLabel)
    }

    /// Number of tokens, T.
    var count: Int { positions.count }
    /// Number of tokens that are learned.
    var supervisedCount: Int { targets.count { $0 != CrossEntropyLoss.ignoredLabel } }
    /// Which tokens each token sees.
    var mask: AttentionMask { .prefixed(prefix: prefixes, own: owns) }

    /// The embeddings of all tokens, `[T, E]`.
    /// - Parameters:
    ///   - text: embeddings of `textIDs`, `[n, E]`.
    ///   - visual: visual tokens of all images, `[B · m, E]`; nil without images.
    func embeddings(text: Tensor, visual: Tensor?) -> Tensor {
        let all = visual.map { Tensor.concatenatingRows([text, $0]) } ?? text
        return all.gatheredRows(
            sources.map { source in
                switch source {
                case .text(let row): row
                case .visual(let row): text.rows + row
                }
            })
    }
}
