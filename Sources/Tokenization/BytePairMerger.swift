/// One run of SentencePiece's byte-pair encoding over a text: characters merged into pieces, best score first.
///
/// Source: google/sentencepiece, `src/bpe_model.cc`, `Model::SampleEncode` without sampling.
struct BytePairMerger {
    /// Merges what joins to a piece of the vocabulary.
    private struct PieceRules: MergeRules {
        let text: [UInt8]
        let vocabulary: PieceVocabulary
        var splits: [Int: Int] = [:]  // an unused piece -> the byte length of its left part

        mutating func score(_ left: MergeSymbol, _ right: MergeSymbol) -> Float? {
            let range = left.start..<left.start + left.count + right.count
            guard let id = vocabulary.mergeable.id(of: text, range) else { return nil }
            if vocabulary.isUnused[id] { splits[id] = left.count }
            return vocabulary.scores[id]
        }

        func mergedID(score: Float) -> Int32 { 0 }
    }

    private var merger: SymbolMerger<PieceRules>

    /// Heap steps and piece lookups so far: what the cost of a run is measured by.
    var work: Int { merger.work }

    /// Prepares a run over normalised `text` of less than 2 GiB.
    init(_ text: [UInt8], vocabulary: PieceVocabulary) {
        precondition(text.count <= Int(Int32.max), "a text to encode must be shorter than 2 GiB")
        merger = SymbolMerger(PieceRules(text: text, vocabulary: vocabulary))
        merger.reserve(text.count)
        var position = 0
        while position < text.count {
            let whole = vocabulary.userDefined.isEmpty ? 0 : vocabulary.userDefined.longestMatch(in: text, at: position)
            let count =
                whole > 0 ? whole : min(UTF8Assembler.length(startingWith: text[position]), text.count - position)
            merger.append(start: position, count: count, id: whole > 0 ? -1 : 0)
            position += count
        }
    }

    /// Merges until nothing can be, and returns the ranges of the resulting pieces in order.
    mutating func run() -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        merger.run { ranges.append($0.range) }
        return merger.rules.splits.isEmpty ? ranges : ranges.flatMap(resegmented)
    }

    /// Splits a piece marked unused back into the parts it was merged from.
    private func resegmented(_ range: Range<Int>) -> [Range<Int>] {
        let rules = merger.rules
        var result: [Range<Int>] = []
        var pending = [range]
        while let next = pending.popLast() {
            if let id = rules.vocabulary.id(of: rules.text, next), rules.vocabulary.isUnused[id],
                let left = rules.splits[id], left < next.count
            {
                pending.append(next.lowerBound + left..<next.upperBound)
                pending.append(next.lowerBound..<next.lowerBound + left)
            } else {
                result.append(next)
            }
        }
        return result
    }
}
