import Foundation
import TestSupport
import Testing
import Training
import VisionEncoder

@testable import Evaluation

@Suite("Published layouts of benchmarks")
struct BenchmarkLayoutTests {
    private let directory: URL
    private let picture = RGBImage(width: 2, height: 1, pixels: [255, 0, 0, 0, 0, 255])

    init() throws { directory = try Fixtures.temporaryDirectory() }

    private func write(_ name: String, _ text: String) throws -> String {
        let url = directory.appending(path: name)
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: url)
        return url.path
    }

    private func draw(_ name: String) throws {
        let path = try write(name, "")
        try Data(picture.pngBytes()).write(to: URL(filePath: path))
    }

    private var base64: String { get throws { try Data(picture.pngBytes()).base64EncodedString() } }

    @Test("POPE: a question of yes or no a line")
    func pope() throws {
        try draw("COCO_val2014_000000310196.jpg")
        let line =
            #"{"question_id": 1, "image": "COCO_val2014_000000310196.jpg", "text": "Is there a dog?", "label": "no"}"#
        let set = try EvaluationSet(BenchmarkLayout.pope.dataset(file: write("coco_pope_random.json", line)))
        let turn = try #require(set.items.first?.turns.first)
        #expect(turn.question == "Is there a dog?\nAnswer the question using a single word or phrase.")
        #expect(turn.id == "1" && turn.references == ["no"] && set.hasAnswers)
        #expect(try set.picture(of: set.items[0])?.decoded() == picture)

        let bad = try write("bad.json", line + "\n" + line.replacingOccurrences(of: "\"no\"", with: "\"maybe\""))
        let error = try #require(throws: DataError.self) { try BenchmarkLayout.pope.dataset(file: bad) }
        #expect("\(error)".contains("line 2") && "\(error)".contains("maybe"))
    }

    private static let problems = """
        {"1": {"question": "Which  is it?", "choices": ["a cat", "a dog"], "answer": 1, "hint": "Look.", "image": "image.png",
          "subject": "natural science", "lecture": "", "split": "test"},
         "2": {"question": "Why?", "choices": ["so", "not so", "both"], "answer": 0, "hint": "", "image": null},
         "3": {"question": "When?", "choices": ["now", "then"], "answer": 0, "hint": "", "image": "image.png"}}
        """

    @Test("ScienceQA: options with letters, and questions without a picture left out")
    func scienceQA() throws {
        try draw("images/test/1/image.png")
        _ = try write("pid_splits.json", #"{"train": [], "val": ["3"], "test": ["1", "2"]}"#)
        let path = try write("problems.json", Self.problems)
        let dataset = try BenchmarkLayout.scienceqa.dataset(file: path)
        let set = try EvaluationSet(dataset)
        #expect(set.questionCount == 1 && set.withoutPicture == 1)
        let turn = set.items[0].turns[0]
        #expect(
            turn.question == """
                Context: Look.
                Question: Which is it?
                Options: (A) a cat (B) a dog
                Answer with the option's letter from the given choices directly.
                """)
        #expect(turn.answer == "B" && turn.type == "natural science" && turn.id == "1")
        #expect(try dataset[1].turns[0].question.hasPrefix("Context: N/A\nQuestion: Why?\nOptions: (A) so (B) not so"))

        // The folder may also be that of the part; a picture that is missing is an error.
        let part = directory.appending(path: "images/test").path
        #expect(try BenchmarkLayout.scienceqa.dataset(file: path, pictures: part).count == 2)
        #expect(throws: DataError.self) { try BenchmarkLayout.scienceqa.dataset(file: path, split: .validation) }
        #expect(throws: DataError.self) { try BenchmarkLayout.scienceqa.dataset(file: path, split: .heldOut) }
    }

    private func table(_ rows: [[String]]) throws -> String {
        let header = ["index", "question", "hint", "A", "B", "C", "D", "answer", "category", "image"]
        return try write(
            "mmbench.tsv", ([header] + rows).map { $0.joined(separator: "\t") }.joined(separator: "\r\n") + "\r\n")
    }

    @Test("MMBench: quoted cells, options up to the first that is missing, pictures in the table")
    func mmbench() throws {
        let path = try table([
            ["241", "Which?", "nan", "a \"cat\"", "dog", "", "nan", "B", "attribute", base64],
            ["252", "\"Two\tlines\n\"\"here\"\"\"", "A hint.", "1", "2", "3", "4", "D", "count", "241"],
        ])
        let set = try EvaluationSet(BenchmarkLayout.mmbench.dataset(file: path))
        #expect(set.items.map(\.turns.count) == [1, 1])
        let (first, second) = (set.items[0].turns[0], set.items[1].turns[0])
        let ending = "\nAnswer with the option's letter from the given choices directly."
        #expect(first.question == "Which?\nA. a \"cat\"\nB. dog" + ending)
        #expect(second.question == "A hint.\nTwo\tlines\n\"here\"\nA. 1\nB. 2\nC. 3\nD. 4" + ending)
        #expect(
            [first, second].map(\.answer) == ["B", "D"] && [first, second].map(\.type) == ["attribute", "count"])
        #expect([first, second].allSatisfy { $0.circle == nil })
        for item in set.items { #expect(try set.picture(of: item)?.decoded() == picture) }
    }

    @Test("MMBench in circles: every rotation of the options, made or found in the file, must be answered right")
    func circular() throws {
        let rows = [["7", "Which?", "", "cat", "dog", "cow", "", "B", "x", try base64]]
        let made = try EvaluationSet(BenchmarkLayout.mmbench.dataset(file: table(rows), isCircular: true))
        let turns = made.items[0].turns
        #expect(turns.map(\.answer) == ["B", "A", "C"] && turns.map(\.circle) == ["7", "7", "7"])
        #expect(turns.map(\.id) == ["7", "1000007", "2000007"])
        // The right option is the dog wherever it stands.
        for turn in turns { #expect(turn.question.contains("\n\(turn.answer). dog")) }

        // A limit takes all rotations of a question or none.
        let dataset = try BenchmarkLayout.mmbench.dataset(file: table(rows), isCircular: true)
        #expect(try EvaluationSet(dataset, limit: 1).questionCount == 3)

        let rotated = [
            ["1000007", "Which?", "", "dog", "cow", "cat", "", "A", "x", "7"],
            ["2000007", "Which?", "", "cow", "cat", "dog", "", "C", "x", "7"],
        ]
        let found = try EvaluationSet(BenchmarkLayout.mmbench.dataset(file: table(rows + rotated)))
        #expect(found.items.map(\.turns) == made.items.map(\.turns))
    }

    @Test(
        "tables that are damaged are refused with the line",
        arguments: [
            ([["1", "q", "", "a", "b", "", "", "A", "x"]], "line 2", "10 cells"),
            ([["9223372036854775807", "q", "", "a", "b", "", "", "A", "x", ""]], "line 2", "2^40"),
            ([["one", "q", "", "a", "b", "", "", "A", "x", ""]], "line 2", "index"),
            ([["1", "q", "", "a", "", "", "", "A", "x", ""]], "line 2", "two options"),
            ([["1", "q", "", "a", "b", "", "", "C", "x", ""]], "line 2", "\"C\""),
            ([["1", "q", "", "a", "b", "", "", "A", "x", "!!"]], "line 2", "Base64"),
            ([["1", "q", "", "a", "b", "", "", "A", "x", "1"]], "line 2", "another row again"),
            ([["1", "\"q", "", "a", "b", "", "", "A", "x", ""]], "line 2", "closing quote"),
            ([["1", "\"q\"r", "", "a", "b", "", "", "A", "x", ""]], "line 2", "closing quote"),
        ])
    func damagedTables(rows: [[String]], place: String, word: String) throws {
        let path = try table(rows)
        let error = try #require(throws: DataError.self) { try BenchmarkLayout.mmbench.dataset(file: path) }
        #expect("\(error)".contains(place) && "\(error)".contains(word), "\(error)")
    }

    @Test("TextVQA: ten answers and a picture by its name")
    func textVQA() throws {
        try draw("003a8ae2ef43b901.jpg")
        let answers = (0..<10).map { "\"\($0 < 7 ? "dakota" : "clos culombu")\"" }.joined(separator: ", ")
        let record =
            #"{"question": "what is the brand?", "question_id": 34602, "image_id": "003a8ae2ef43b901", "answers": [\#(answers)]}"#
        let path = try write(
            "TextVQA_0.5.1_val.json", #"{"dataset_type": "val", "info": {"data": [1]}, "data": [\#(record)], "x": []}"#)
        let set = try EvaluationSet(BenchmarkLayout.textvqa.dataset(file: path))
        let turn = set.items[0].turns[0]
        #expect(turn.question == "what is the brand?\nAnswer the question using a single word or phrase.")
        #expect(turn.references.count == 10 && turn.id == "34602")
        #expect(BenchmarkLayout.textvqa.scorer.score("Dakota.", references: turn.references) == 1)
        #expect(throws: DataError.self) {
            try BenchmarkLayout.textvqa.dataset(file: write("other.json", "{\"a\": []}"))
        }
    }

    @Test("VQAv2: answers from a file of their own, or none")
    func vqa() throws {
        try draw("COCO_val2014_000000458752.jpg")
        let questions = try write(
            "v2_OpenEnded_mscoco_val2014_questions.json",
            #"{"info": {}, "questions": [{"image_id": 458752, "question": "What?", "question_id": 458752000}]}"#)
        let annotations = try write(
            "v2_mscoco_val2014_annotations.json",
            """
            {"annotations": [{"question_id": 458752000, "answer_type": "other", "image_id": 458752,
             "answers": [{"answer": "net", "answer_id": 1}, {"answer": "netting", "answer_id": 2}]}]}
            """)
        let open = try EvaluationSet(BenchmarkLayout.vqav2.dataset(file: questions))
        #expect(!open.hasAnswers && open.items[0].turns[0].id == "458752000")
        let set = try EvaluationSet(BenchmarkLayout.vqav2.dataset(file: questions, annotations: annotations))
        #expect(set.items[0].turns[0].references == ["net", "netting"] && set.items[0].turns[0].type == "other")

        let other = try write("other.json", #"{"annotations": [{"question_id": 1, "answers": [{"answer": "a"}]}]}"#)
        let error = try #require(throws: DataError.self) {
            try BenchmarkLayout.vqav2.dataset(file: questions, annotations: other)
        }
        #expect("\(error)".contains("458752000"))
    }

    @Test("answers are written as the benchmarks' readers take them, and circles are scored")
    func answers() throws {
        let path = try table([
            ["7", "Which?", "", "cat", "dog", "", "", "B", "x", base64],
            ["8", "Who?", "", "cat", "dog", "", "", "A", "x", base64],
        ])
        let set = try EvaluationSet(BenchmarkLayout.mmbench.dataset(file: path, isCircular: true))
        // Right both times, and right once.
        let given = [["B", "A"], ["A", "A"]]
        let records = given.enumerated().map { PictureRecord(picture: $0, answers: $1) }
        let lines = directory.appending(path: "answers.jsonl").path
        try AnswerFile.write(records, of: set, scorer: .choice, layout: .mmbench, to: lines)
        let objects = try String(contentsOfFile: lines, encoding: .utf8).split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
        #expect(objects.map { $0["question_id"] as? Int } == [7, 7, 8, 8])
        #expect(objects.map { $0["round_id"] as? Int } == [0, 1, 0, 1])
        #expect(objects.map { $0["text"] as? String } == ["B", "A", "A", "A"] && objects[0]["prompt"] is String)
        #expect(objects.map { $0["score"] as? Double } == [1, 1, 1, 0])

        let row = SweepReport.Row(visualTokens: 4, records, set, .choice)
        #expect(row.score?.score == 0.75 && row.circular?.score == 0.5 && row.circular?.questions == 2)
        #expect(row.remarks.first?.hasPrefix("all arrangements right: 50.0 %") == true)

        let array = directory.appending(path: "upload.json").path
        try AnswerFile.write(records, of: set, scorer: .vqa, layout: .vqav2, to: array)
        let uploaded = try #require(
            try JSONSerialization.jsonObject(with: Data(contentsOf: URL(filePath: array))) as? [[String: Any]])
        #expect(uploaded.count == 4 && Set(uploaded[0].keys) == ["question_id", "answer"])
        #expect(uploaded[1]["question_id"] as? Int == 1_000_007 && uploaded[0]["answer"] as? String == "b")
    }
}

extension PictureRecord {
    /// A record with these answers to the questions about a picture, at four visual tokens.
    fileprivate init(picture: Int, answers: [String]) {
        self.init(
            model: 0, picture: picture, encodes: 1, views: 1, reuse: .none, preprocessMilliseconds: 0,
            encodeMilliseconds: 0, encodeOperations: 0, peakRssBytes: 0,
            answers: answers.enumerated().map { number, text in
                Answer(
                    visualTokens: 4, question: number, text: text, isCut: false, promptTokens: 1, kvEntries: 1,
                    kvBytes: 1, prefillMilliseconds: 0, decodeMilliseconds: 0, decodeSteps: 0)
            }, timed: [])
    }
}
