import Bytes
import Foundation
public import Training

/// The published files of a benchmark: how questions, pictures and answers lie in them, and how LLaVA-1.5 asks them.
///
/// Wording counts for as much as weights do, so questions are put as `llava/eval` and `scripts` of haotian-liu/LLaVA at
/// v1.2.2 put them.
public enum BenchmarkLayout: String, CaseIterable, Sendable, Codable {
    /// POPE: `coco_pope_*.json`, a question of yes or no a line.
    case pope
    /// ScienceQA: `problems.json`, with `pid_splits.json` beside it.
    case scienceqa
    /// MMBench: a table with tabs between its columns, pictures in it.
    case mmbench
    /// TextVQA: `TextVQA_0.5.1_val.json`.
    case textvqa
    /// VQAv2: `v2_OpenEnded_mscoco_*_questions.json`, with annotations in a file of their own.
    case vqav2

    /// How the benchmark scores an answer.
    public var scorer: Scorer {
        switch self {
        case .pope: .yesNo
        case .scienceqa, .mmbench: .choice
        case .textvqa, .vqav2: .vqa
        }
    }

    /// The benchmark's questions.
    /// - Parameters:
    ///   - file: the file of questions.
    ///   - pictures: their folder; nil for the file's own, or `images` beside it for ScienceQA.
    ///   - annotations: where VQAv2 keeps the answers; nil for a part whose answers are not public.
    ///   - split: which part of ScienceQA.
    ///   - isCircular: whether MMBench asks each question once for every rotation of its options.
    /// - Throws: `DataError`, with the line.
    public func dataset(
        file: String, pictures: String? = nil, annotations: String? = nil, split: DataSplit = .test,
        isCircular: Bool = false
    ) throws -> any TrainingDataset {
        let beside = URL(filePath: file).deletingLastPathComponent()
        let folder = ImageFolder(path: pictures ?? beside.path)
        return switch self {
        case .pope: try POPEDataset(path: file, folder: folder)
        case .scienceqa:
            try ScienceQADataset(
                path: file, folder: ImageFolder(path: pictures ?? beside.appending(path: "images").path), split: split)
        case .mmbench: try MMBenchDataset(path: file, isCircular: isCircular)
        case .textvqa: try TextVQADataset(path: file, folder: folder)
        case .vqav2: try VQADataset(path: file, annotations: annotations, folder: folder)
        }
    }

    /// What follows a question that wants few words.
    static let shortAnswer = "\nAnswer the question using a single word or phrase."
    /// What follows options.
    static let letterAnswer = "\nAnswer with the option's letter from the given choices directly."

    /// The letter of an option.
    static func letter(_ option: Int) -> String { String(UnicodeScalar(UInt8(ascii: "A") + UInt8(option))) }
}

extension RecordIndex {
    /// A reader of one record.
    func reader(at index: Int) throws -> RecordReader {
        let reader = RecordReader(record: try value(at: index), file: path, place: place(index))
        guard reader.record.object != nil else { throw reader.invalid("an object", reader.record.kind) }
        return reader
    }
}
