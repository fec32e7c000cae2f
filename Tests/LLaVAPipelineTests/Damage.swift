import Foundation
import LanguageDecoder
import LLaVAPipeline
import Tensors
import TestSupport
import Testing
import VisionEncoder

/// Tries damaged models and pictures: each must answer or be refused with words; nothing may trap or swallow memory.
struct DamageTrial {
    /// Cases that answered, and cases that were refused.
    private(set) var (answered, refused) = (0, 0)
    private let peakBefore = DamageTrial.peakBytes

    /// Largest growth of this process's memory that damaged files of a megabyte may cause.
    static let memoryLimit = 2_000_000_000

    /// Loads the model of a directory and asks for two tokens about a picture.
    mutating func askModel(_ directory: URL, _ name: @autoclosure () -> String, picture: RGBImage) {
        attempt(name()) { try Self.ask(Assistant(LLaVAModel.load(from: directory.path)), picture) }
    }

    /// Runs something that may throw an error a person can read.
    mutating func attempt(_ name: @autoclosure () -> String, _ body: () throws -> Void) {
        do {
            try body()
            answered += 1
        } catch {
            refused += 1
            let text = "\(error)"
            let isRaw = ["Error Domain", "DecodingError", "NSCocoa", "EncodingError"].contains { text.contains($0) }
            if isRaw || text.count < 15 {
                Issue.record("\(name()): the error is not written for a person: \(text)")
            }
        }
    }

    /// Two tokens about a picture.
    static func ask(_ assistant: Assistant, _ picture: RGBImage) throws {
        let model = assistant.model
        let sees = model.vision != nil
        let conversation = try assistant.conversation(asking: "what?", images: sees ? 1 : 0)
        let tokens =
            sees ? [try model.visualTokens(from: model.encode(model.process(picture)), budget: model.budget(nil))] : []
        let prompt = try model.prompt(assistant.ids(of: conversation), images: tokens)
        var generation = try Generation(
            model.decoder, prompt, sampling: SamplingOptions(), maximumTokens: 2, endTokens: assistant.endTokens)
        var answer = assistant.answerText()
        while let token = generation.next() { _ = answer.append(token) }
        _ = answer.finish()
    }

    /// Expects that both outcomes occurred and that memory stayed within its limit.
    /// - Parameter hasChecksums: whether every damage is found, so that nothing answers.
    func finish(_ family: String, hasChecksums: Bool = false, sourceLocation: SourceLocation = #_sourceLocation) {
        print("damaged \(family): \(answered) answered, \(refused) refused")
        #expect(
            (answered > 0 || hasChecksums) && refused > 0, "\(answered) answered, \(refused) refused",
            sourceLocation: sourceLocation)
        #expect(Self.peakBytes - peakBefore < Self.memoryLimit, sourceLocation: sourceLocation)
    }

    private static var peakBytes: Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage.ru_maxrss * 1024
    }
}

extension SeededGenerator {
    /// Damaged bytes: cut off, flipped, overwritten, taken out or doubled.
    /// - Parameter head: the bytes that are hit in half of the cases, where the structure lies.
    mutating func damaged(_ bytes: Data, head: Int) -> Data {
        var bytes = bytes
        func position(_ generator: inout SeededGenerator) -> Int {
            let isHead = Bool.random(using: &generator)
            return Int.random(in: 0..<min(bytes.count, isHead ? head : bytes.count), using: &generator)
        }
        switch Int.random(in: 0..<6, using: &self) {
        case 0: return bytes.prefix(position(&self))
        case 1:
            for _ in 0..<Int.random(in: 1...3, using: &self) {
                bytes[position(&self)] ^= 1 << Int.random(in: 0..<8, using: &self)
            }
        case 2:
            for _ in 0..<Int.random(in: 1...300, using: &self) {
                bytes[position(&self)] ^= 1 << Int.random(in: 0..<8, using: &self)
            }
        case 3:
            let start = position(&self)
            for index in start..<min(bytes.count, start + Int.random(in: 1...32, using: &self)) {
                bytes[index] = Bool.random(using: &self) ? 0xFF : UInt8.random(in: 0...255, using: &self)
            }
        case 4:
            let start = position(&self)
            bytes.removeSubrange(start..<min(bytes.count, start + Int.random(in: 1...16, using: &self)))
        default:
            let start = position(&self)
            bytes.insert(contentsOf: Data(bytes[start..<min(bytes.count, start + 16)]), at: start)
        }
        return bytes
    }
}
