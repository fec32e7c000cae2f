import Foundation
import TestSupport
import Testing
import VisionEncoder

@testable import Training

@Suite struct QuestionFileTests {
    /// A directory with `a.png`, `broken.png` and a file of questions; a secret picture lies beside the directory.
    private static func file(_ text: String, _ name: String = "q.jsonl") throws -> URL {
        let outer = try Fixtures.temporaryDirectory()
        let directory = outer.appending(path: "data")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let png = Data(try RGBImage(width: 2, height: 1, pixels: [1, 2, 3, 4, 5, 6]).pngBytes())
        try png.write(to: directory.appending(path: "a.png"))
        try png.write(to: outer.appending(path: "secret.png"))
        try png.prefix(40).write(to: directory.appending(path: "broken.png"))
        try FileManager.default.createSymbolicLink(
            at: directory.appending(path: "link.png"), withDestinationURL: outer.appending(path: "secret.png"))
        let url = directory.appending(path: name)
        try Data(text.utf8).write(to: url)
        return url
    }

    private static func question(_ image: String = "a.png") -> String {
        #"{"image": "\#(image)", "question": "what?", "answer": "this", "type": "t"}"#
    }

    @Test("questions, lists of answers and LLaVA conversations are read from JSONL and from a JSON array")
    func kinds() throws {
        let conversation =
            #"{"id": 7, "image": "a.png", "conversations": [{"from": "human", "value": "<image>\nWhat, \"{[\"?"}, "#
            + #"{"from": "gpt", "value": "This"}, {"from": "human", "value": "And?"}, {"from": "gpt", "value": "That"}]}"#
        let records = [
            Self.question(), #"{"question": "q\n]", "answers": ["one", "two"]}"#, conversation,
        ]
        for (text, name) in [
            (records.joined(separator: "\n\n") + "\n", "q.jsonl"),
            ("\n[ " + records.joined(separator: " ,\n ") + "\n]\n", "q.json"),
        ] {
            let file = try QuestionFile(path: Self.file(text, name).path)
            #expect(file.count == 3)
            #expect(try file[0].turns == [QuestionAnswer(question: "what?", answer: "this", type: "t")])
            #expect(try file[0].image?.decoded().pixels == [1, 2, 3, 4, 5, 6])
            #expect(try file[1].image == nil)
            #expect(try file[1].turns[0].answer == "one")
            #expect(try file[2].turns.map(\.question) == ["What, \"{[\"?", "And?"])
            #expect(try file[2].turns.map(\.answer) == ["This", "That"])
        }
    }

    /// A second line, and words that its error must have.
    private static let damaged: [(String, String)] = [
        (#"{"image": "a.png", "question": "what?", "answer": }"#, "column"),
        (#"{"image": "a.png", "question": "what?"}"#, "\"answer\""),
        (#"{"image": "a.png", "answer": "this"}"#, "\"question\""),
        (#"{"image": ["a.png"], "question": "what?", "answer": "this"}"#, "\"image\""),
        (#"{"image": 3, "question": "what?", "answer": "this"}"#, "got 3"),
        (#"{"question": "what?", "answer": 3}"#, "got 3"), (#"{"question": "", "answer": "this"}"#, "empty"),
        (#"{"question": "<image> what?", "answer": "this"}"#, "<image>"), (#"[1, 2]"#, "an object"),
        (#"{"question": "what?", "answers": []}"#, "\"answers\""),
        (#"{"image": "none.png", "question": "what?", "answer": "this"}"#, "none.png"),
        (#"{"image": "../secret.png", "question": "what?", "answer": "this"}"#, "outside"),
        (#"{"image": "b/../../secret.png", "question": "what?", "answer": "this"}"#, "outside"),
        (#"{"image": "link.png", "question": "what?", "answer": "this"}"#, "outside"),
        (#"{"image": "/etc/hostname", "question": "what?", "answer": "this"}"#, "outside"),
        (#"{"conversations": [{"from": "human", "value": "a"}]}"#, "in turn"),
        (#"{"conversations": [{"from": "gpt", "value": "a"}]}"#, "0 turns"),
        (#"{"conversations": [{"from": "human", "value": "a"}, {"from": "human", "value": "b"}]}"#, "\"gpt\""),
        (#"{"conversations": [{"from": "human"}, {"from": "gpt", "value": "b"}]}"#, "turn 1"),
        (#"{"conversations": [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "b"}]}"#, "<image>"),
        (#"{"conversations": "none"}"#, "a list"), ("nonsense", "valid JSON"),
    ]

    @Test("a damaged second line is refused by its number and the reason", arguments: damaged)
    func damagedLine(line: String, word: String) throws {
        let url = try Self.file(Self.question() + "\n" + line + "\n")
        let error = #expect(throws: DataError.self) { try QuestionFile(path: url.path) }
        let text = error.map { "\($0)" } ?? ""
        #expect(text.contains("line 2") && text.contains(word), "\(text)")
    }

    @Test("files without examples, cut arrays and text after them are refused")
    func damagedFile() throws {
        for text in ["", "\n \n", "[]", "[" + Self.question(), "[" + Self.question() + "] x", "[,1]", "["] {
            let url = try Self.file(text, "q.json")
            #expect(throws: DataError.self, "\(text)") { try QuestionFile(path: url.path) }
        }
        #expect(throws: DataError.self) { try QuestionFile(path: "/nowhere/q.jsonl") }
    }

    @Test("bad pictures are counted and passed over when asked, those outside the folder never")
    func skipBad() throws {
        let lines = [Self.question("none.png"), Self.question(), Self.question("broken.png"), Self.question()]
        let url = try Self.file(lines.joined(separator: "\n"))
        #expect(throws: DataError.self) { try QuestionFile(path: url.path) }
        let file = try QuestionFile(path: url.path, skipBad: true)
        #expect(file.count == 2 && file.skippedCount == 2)
        #expect(try file[1].origin.hasSuffix("line 4"))
        let outside = try Self.file(Self.question() + "\n" + Self.question("../secret.png"))
        #expect(throws: DataError.self) { try QuestionFile(path: outside.path, skipBad: true) }
        let folder = ImageFolder(path: outside.deletingLastPathComponent().path, allowsOutside: true)
        #expect(try QuestionFile(path: outside.path, folder: folder).count == 2)
    }

    @Test("what is written of a data set reads back the same")
    func roundTrip() throws {
        let directory = try Fixtures.temporaryDirectory()
        let scenes = ScenesDataset(split: .test, count: 5, seed: 3, side: 48)
        let summary = try DatasetWriter(directory: directory.path).write(scenes)
        #expect(try summary.checksum == DatasetChecksum.of(scenes))
        let text = try String(contentsOf: directory.appending(path: "checksum.txt"), encoding: .utf8)
        #expect(text == summary.checksum + "\n")
        let file = try QuestionFile(path: directory.appending(path: "questions.jsonl").path)
        let turns = (0..<5).flatMap { index in
            scenes.example(at: index).turns.enumerated().map { number, turn in
                var named = turn
                named.id = "\(index)-\(number)"
                return (index, named)
            }
        }
        #expect(file.count == turns.count && summary.questions == turns.count)
        for (line, (index, turn)) in turns.enumerated() {
            let example = try file.example(at: line)
            #expect(example.turns == [turn])
            #expect(try example.image?.decoded() == scenes.example(at: index).image?.decoded())
        }
    }

    @Test("a folder's pictures come in order with the text beside them or the name of their folder")
    func folder() throws {
        let url = try Self.file(Self.question())
        let directory = url.deletingLastPathComponent()
        #expect(throws: ImageError.self) { try PictureFolder(path: directory.path) }
        try Data("a small picture\n".utf8).write(to: directory.appending(path: "a.txt"))
        let pictures = try PictureFolder(path: directory.path, skipBad: true)
        #expect(pictures.skippedCount == 1)
        #expect(try pictures[0].turns[0].answer == "a small picture")
        #expect(try pictures[pictures.count - 1].caption == "data" || pictures.count == 1)
        #expect(throws: DataError.self) { try PictureFolder(path: directory.path + "/none") }
    }
}

@Suite struct EasyVQATests {
    private static func directory(_ questions: String) throws -> String {
        let root = try Fixtures.temporaryDirectory()
        for part in ["train", "test"] {
            try FileManager.default.createDirectory(at: root.appending(path: part), withIntermediateDirectories: true)
            try Data(questions.utf8).write(to: root.appending(path: "\(part)/questions.json"))
        }
        return root.path
    }

    @Test("validation is every tenth picture of the training part, and questions go by picture")
    func splits() throws {
        let path = try Self.directory(
            #"[["Is there a circle?", "yes", 20], ["What shape?", "circle", 3], ["What color?", "teal", 20]]"#)
        let validation = try EasyVQADataset(directory: path, split: .validation)
        let train = try EasyVQADataset(directory: path, split: .train)
        #expect(validation.count == 1 && train.count == 1)
        #expect(try validation[0].turns.map(\.type) == ["yes-no", "colour"])
        #expect(try train[0].turns.map(\.type) == ["shape"])
        #expect(try EasyVQADataset(directory: path, split: .test).count == 2)
        #expect(throws: DataError.self) { try EasyVQADataset(directory: path, split: .heldOut) }
    }

    @Test("records of another form are refused")
    func damaged() throws {
        for text in [
            #"[["a", "b"]]"#, #"[["a", "b", "1"]]"#, #"[["a", "b", -1]]"#, #"[["a", "b", 1, 2]]"#, #"[{}]"#, "[]", "",
            #"[["a", "b", 1"#,
        ] {
            let path = try Self.directory(text)
            #expect(throws: DataError.self, "\(text)") { try EasyVQADataset(directory: path, split: .test) }
        }
    }

    private static let cache = Fixtures.cache.appending(path: "easy-vqa").path

    @Test(
        "the published data divide into 3,600, 400 and 1,000 pictures, all of which decode",
        .enabled(if: FileManager.default.fileExists(atPath: cache), "run scripts/fetch-easy-vqa"))
    func real() throws {
        let counts = [(DataSplit.train, 3600), (.validation, 400), (.test, 1000)]
        var questions = 0
        for (split, count) in counts {
            let dataset = try EasyVQADataset(directory: Self.cache, split: split)
            #expect(dataset.count == count)
            for index in 0..<count {
                let example = try dataset[index]
                questions += example.turns.count
                if index % 50 == 0 { #expect(try example.image?.decoded().width == 64) }
            }
        }
        #expect(questions == 38_575 + 9_673)
    }
}
