import ArgumentParser
import Evaluation
import Foundation
import LLaVAPipeline
import LanguageDecoder
import MQT
import Training
import VisionEncoder

/// Many questions at once.
struct BatchOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Answer the questions of a JSONL file; print a JSON object a line, in their order.",
            discussion:
                "A line is {\"question\": ...} with \"image\", \"visual_tokens\" and \"id\" as needed. Every picture is encoded once. A line that cannot be answered is reported and does not stop the others; the exit code is 1 then.",
            valueName: "file"), completion: .file())
    var batch: String?

    @Option(
        help: ArgumentHelp(
            "With --batch: write to a file instead, and go on from the answers in it.", valueName: "file"),
        completion: .file())
    var out: String?

    @Option(
        help: ArgumentHelp("With --batch: folder of the pictures (default: the file's own).", valueName: "dir"),
        completion: .directory)
    var images: String?

    @Flag(help: "With --batch: allow pictures outside the folder, by absolute paths or links.")
    var allowOutside = false

    func validate() throws {
        guard batch == nil else { return }
        let given = [("--out", out != nil), ("--images", images != nil), ("--allow-outside", allowOutside)]
        if let (name, _) = given.first(where: \.1) { throw ValidationError("\(name) is about --batch FILE") }
    }
}

/// Answers the lines of a file one after the other.
struct BatchAsk {
    let assistant: Assistant
    let options: BatchOptions
    let cache: FeatureCacheOptions
    let sampling: SamplingFlags
    let visualTokens: Int?
    let orientation: OrientationPolicy

    /// A line of the file.
    private struct Question: Decodable {
        var question: String
        var image: String?
        var visualTokens: Int?
        var id: Identifier?
    }

    /// A text or a whole number.
    private enum Identifier: Codable, Equatable {
        case text(String), number(Int)

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let number = try? container.decode(Int.self) {
                self = .number(number)
            } else {
                self = .text(try container.decode(String.self))
            }
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .text(let text): try container.encode(text)
            case .number(let number): try container.encode(number)
            }
        }
    }

    /// What is printed for a line.
    private struct Answer: Codable {
        var line: Int
        var model: String
        var id: Identifier?
        var image: String?
        var question: String?
        var answer: String?
        var error: String?
        var stopReason: String?
        var visualTokens: Int?
        var promptTokens: Int?
        var answerTokens: Int?
        var milliseconds: Double?
    }

    /// Answers all lines that have no answer yet.
    /// - Returns: how many lines could not be answered; nil if `isCancelled` ended it.
    func run(_ file: String, isCancelled: () -> Bool) throws -> Int? {
        let bytes: Data
        do { bytes = try Data(contentsOf: URL(filePath: file), options: .mappedIfSafe) } catch {
            throw DataError.unreadable(path: file, reason: error.localizedDescription)
        }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated()
            .filter { !$0.element.allSatisfy { [0x20, 0x09, 0x0D].contains($0) } }
            .map { line in
                (number: line.offset + 1, question: Result { try decoder.decode(Question.self, from: line.element) })
            }
        guard !lines.isEmpty else { throw DataError.empty(source: file) }
        let output = try BatchOutput(options.out, lines.map(\.number), of: assistant.model.path)
        var failures = output.failures
        // How often each picture will still be asked about: its features are kept that long.
        var uses: [String: Int] = [:]
        for line in lines.dropFirst(output.done) {
            if let image = try? line.question.get().image { uses[image, default: 0] += 1 }
        }
        var features: [String: LLaVAModel.Features] = [:]
        let folder = ImageFolder(
            path: options.images ?? URL(filePath: file).deletingLastPathComponent().path,
            allowsOutside: options.allowOutside)
        var progress = CountedProgress(of: "questions")
        for (index, (number, question)) in lines.enumerated().dropFirst(output.done) {
            if isCancelled() { return nil }
            var answer = Answer(line: number, model: assistant.model.path)
            do {
                let question = try question.get()
                (answer.id, answer.image, answer.question) = (question.id, question.image, question.question)
                let clock = ContinuousClock()
                let start = clock.now
                let visual = try question.image.map { image in
                    let known =
                        try features[image]
                        ?? encode(folder.resolve(image, file: file, place: "line \(number)"))
                    features[image] = known
                    return try assistant.model.visualTokens(
                        from: known, budget: assistant.model.budget(question.visualTokens ?? visualTokens))
                }
                if question.image == nil, let number = question.visualTokens {
                    throw UsageError.message("\"visual_tokens\": \(number) is about a picture, and there is none")
                }
                try ask(question.question, visual, &answer)
                answer.milliseconds = ((clock.now - start).milliseconds * 1000).rounded() / 1000
            } catch {
                failures += 1
                answer.error = Self.words(error)
                Terminal.note("error: \(file), line \(number): \(Self.words(error))")
            }
            if let image = answer.image {
                uses[image, default: 1] -= 1
                if uses[image] == 0 { features[image] = nil }
            }
            try output.write(answer)
            // Answers in the same terminal show it themselves.
            if output.isElsewhere { progress.show(index + 1, of: lines.count, resumed: output.done) }
        }
        return failures
    }

    private func encode(_ path: String) throws -> LLaVAModel.Features {
        let image = try RGBImage.decode(contentsOf: path, orientation: orientation).image
        return try cache.features(of: assistant.model.process(image), assistant.model)
    }

    private func ask(_ question: String, _ visual: VisualTokens?, _ answer: inout Answer) throws {
        let images = visual.map { [$0] } ?? []
        let conversation = try assistant.conversation(asking: question, images: images.count)
        let prompt = try assistant.model.prompt(assistant.ids(of: conversation), images: images)
        var generation = try Generation(
            assistant.model.decoder, prompt, sampling: sampling.options, maximumTokens: sampling.maxTokens,
            endTokens: assistant.endTokens)
        var (text, timings) = (assistant.answerText(), StageTimings())
        AnswerLoop.run(&generation, &text, &timings) { _ in }
        answer.answer = text.text
        answer.stopReason = (generation.stopReason ?? .endOfText).rawValue
        answer.visualTokens = visual?.count
        answer.promptTokens = prompt.count
        answer.answerTokens = generation.tokens.count
    }

    private static func words(_ error: any Error) -> String {
        switch error {
        case DecodingError.keyNotFound(let key, _): "there is no \"\(key.stringValue)\""
        case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
            "\(context.codingPath.map(\.stringValue).joined(separator: ".")): \(context.debugDescription)"
        case DecodingError.dataCorrupted: "it is not a JSON object"
        default: "\(error)"
        }
    }

    /// Where answers go, and how many are there already.
    private struct BatchOutput {
        private let handle: FileHandle
        private let encoder = JSONEncoder()
        private let path: String
        /// Lines that have an answer or an error already.
        let done: Int
        /// How many of them have an error.
        let failures: Int

        /// Whether nobody sees the answers come.
        var isElsewhere: Bool { isatty(handle.fileDescriptor) == 0 }

        /// Standard output for nil, or the end of a file whose complete lines belong to the first of `numbers`.
        init(_ path: String?, _ numbers: [Int], of model: String) throws {
            self.path = path ?? "standard output"
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            encoder.keyEncodingStrategy = .convertToSnakeCase
            guard let path else {
                (handle, done, failures) = (.standardOutput, 0, 0)
                return
            }
            let url = URL(filePath: path)
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            var kept = Data()
            var (count, failures) = (0, 0)
            for line in ((try? Data(contentsOf: url)) ?? Data()).split(separator: UInt8(ascii: "\n")) {
                guard let answer = try? decoder.decode(Answer.self, from: line) else { break }
                guard count < numbers.count, answer.line == numbers[count], answer.model == model else {
                    throw EvaluationError.otherEvaluation(
                        path: path, key: "answer \(count + 1)",
                        expected: count < numbers.count ? "line \(numbers[count]) by \(model)" : "no further line",
                        got: "line \(answer.line) by \(answer.model)")
                }
                kept += line + Data("\n".utf8)
                count += 1
                if answer.error != nil { failures += 1 }
            }
            do {
                try kept.write(to: url, options: .atomic)
                handle = try FileHandle(forWritingTo: url)
                try handle.seekToEnd()
            } catch { throw EvaluationError.unwritable(path: path, reason: error.localizedDescription) }
            (done, self.failures) = (count, failures)
        }

        func write(_ answer: Answer) throws {
            do { try handle.write(contentsOf: encoder.encode(answer) + Data("\n".utf8)) } catch {
                throw EvaluationError.unwritable(path: path, reason: error.localizedDescription)
            }
        }
    }
}
