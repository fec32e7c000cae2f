import Foundation
import TestSupport
import Testing
import VisionEncoder

@testable import Training

@Suite struct FashionTests {
    /// Photographs made up: number n is all of one grey, and the kinds go round.
    private static func photos(_ count: Int = 240, _ split: DataSplit = .train) throws -> FashionPhotos {
        var images: [UInt8] = [0, 0, 8, 3] + bytes(count) + bytes(28) + bytes(28)
        for number in 0..<count { images += [UInt8](repeating: UInt8(number), count: 28 * 28) }
        let labels = [0, 0, 8, 1] + bytes(count) + (0..<count).map { UInt8($0 % 10) }
        return try FashionPhotos(
            IDXFile(images, path: "images", shape: [nil, 28, 28]), IDXFile(labels, path: "labels", shape: [count]),
            split: split, path: "labels")
    }

    private static func bytes(_ value: Int) -> [UInt8] { [0, 0, UInt8(value >> 8), UInt8(value & 255)] }

    @Test("validation takes every twelfth photograph of the training file and training the others")
    func split() throws {
        let (train, validation) = (try Self.photos(240, .train), try Self.photos(240, .validation))
        func greys(_ photos: FashionPhotos) -> [UInt8] { (0..<photos.count).map { photos.pixels[$0 * 784] } }
        #expect(greys(validation) == (0..<20).map { UInt8($0 * 12) })
        #expect(Set(greys(train)).isDisjoint(with: greys(validation)))
        #expect(train.count + validation.count == 240)
        #expect(train.kinds[0] == .trousers && validation.kinds[1] == .pullover)
    }

    @Test("every answer is what counting the photographs of the grid gives, and all answers occur")
    func answers() throws {
        let dataset = FashionDataset(photos: try Self.photos(), split: .train, count: 3000, seed: 5)
        var found: [String: [String: Int]] = [:]
        for index in 0..<dataset.count {
            let (scene, questions, caption) = dataset.scene(at: index)
            #expect(!caption.isEmpty)
            for turn in questions {
                #expect(Self.answer(turn.question, scene) == turn.answer, "\(turn) of \(scene)")
                found[turn.type, default: [:]][turn.answer, default: 0] += 1
            }
        }
        for kind in FashionQuestionKind.allCases {
            let answers = found[kind.rawValue] ?? [:]
            #expect(Set(answers.keys).isSubset(of: kind.answers))
            let total = answers.values.reduce(0, +)
            #expect(total > 1000)
            if kind != .count { #expect(answers.count == kind.answers.count) }
            let most = answers.values.max() ?? 0
            #expect(Double(most) < Double(total) / 2 + 2 * Double(total).squareRoot())
        }
    }

    @Test("photographs lie inside their cells, and the picture shows their tint there")
    func picture() throws {
        let dataset = FashionDataset(photos: try Self.photos(), split: .train, count: 60, seed: 2, labelGrid: 8)
        for index in 0..<dataset.count {
            let (scene, _, _) = dataset.scene(at: index)
            let extent = 128 / scene.grid
            let image = try #require(try dataset.example(at: index).image?.decoded())
            for item in scene.items {
                #expect(item.x >= (item.column - 1) * extent && item.x + item.side <= item.column * extent)
                #expect(item.y >= (item.row - 1) * extent && item.y + item.side <= item.row * extent)
                // One grey everywhere, so the centre is the mix of ground and tint by it.
                let grey = Int(dataset.photos.pixels[item.photo * 784])
                let at = ((item.y + item.side / 2) * 128 + item.x + item.side / 2) * 3
                for channel in 0..<3 {
                    let expected = Double(scene.ground * (255 - grey) + item.tint.channels[channel] * grey) / 255
                    #expect(abs(Double(image.pixels[at + channel]) - expected) <= 1)
                }
            }
        }
    }

    @Test("dense labels name the kind and tint of the photograph that fills a cell")
    func labels() throws {
        let dataset = FashionDataset(photos: try Self.photos(), split: .train, count: 80, seed: 3, labelGrid: 16)
        for index in 0..<dataset.count {
            let (scene, _, _) = dataset.scene(at: index)
            let labels = try #require(dataset.example(at: index).labels)
            #expect(labels.fields.map(\.name) == ["kind", "colour"] && labels.fields[0].values.count == 256)
            for item in scene.items {
                // The cell of 8 x 8 units around the middle lies within the photograph.
                let cell = (item.y + item.side / 2) / 8 * 16 + (item.x + item.side / 2) / 8
                #expect(labels.fields[0].classes[Int(labels.fields[0].values[cell])] == item.kind.name)
                #expect(labels.fields[1].classes[Int(labels.fields[1].values[cell])] == item.tint.name)
            }
        }
    }

    @Test("damaged IDX files are refused with the part that is wrong")
    func damagedIDX() throws {
        let good: [UInt8] = [0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]
        #expect(try IDXFile(good, path: "f", shape: [nil]).bytes == [7, 8, 9])
        let damaged: [([UInt8], String)] = [
            ([], "the header"), (Array(good.prefix(7)), "the header"),
            ([0, 0, 9, 1] + good.dropFirst(4), "the magic number"),
            ([0, 0, 8, 2] + good.dropFirst(4), "the magic number"), (Array(good.dropLast()), "the elements"),
            (good + [1], "the elements"), ([0, 0, 8, 1, 255, 255, 255, 255, 1], "the extents"),
            ([0, 0, 8, 1, 0, 0, 0, 0], "the extents"),
        ]
        for (bytes, part) in damaged {
            let error = #expect(throws: DataError.self) { try IDXFile(bytes, path: "f", shape: [nil]) }
            guard case .damaged("f", part, _, _) = error else {
                Issue.record("\(String(describing: error)) for \(bytes)")
                continue
            }
        }
        #expect(throws: DataError.self) { try IDXFile(good, path: "f", shape: [4]) }
        #expect(throws: DataError.self) { try IDXFile([0, 0, 8, 1, 0, 0, 0, 1, 10], path: "f", shape: [1]).kinds() }
    }

    /// "hello\n" as gzip 1.12 packs it with -n.
    private static let hello: [UInt8] = [
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xe7, 0x02, 0x00,
        0x20,
        0x30, 0x3a, 0x36, 0x06, 0x00, 0x00, 0x00,
    ]

    @Test("gzip data unpack, and none that are cut, changed, followed by more or too long")
    func gzip() throws {
        #expect(try GzipFile.unpack(Self.hello, limit: 6, path: "f") == Array("hello\n".utf8))
        #expect(throws: DataError.self) { try GzipFile.unpack(Self.hello, limit: 5, path: "f") }
        #expect(throws: DataError.self) { try GzipFile.unpack(Self.hello + [0], limit: 100, path: "f") }
        for count in 0..<Self.hello.count {
            #expect(throws: DataError.self, "\(count) bytes") {
                try GzipFile.unpack(Array(Self.hello.prefix(count)), limit: 100, path: "f")
            }
        }
        var changed = Self.hello
        changed[19] ^= 1  // the checksum
        #expect(throws: DataError.self) { try GzipFile.unpack(changed, limit: 100, path: "f") }
    }

    private static let directory = Fixtures.cache.appending(path: "fashion-mnist").path

    @Test(
        "the real photographs divide as their files do",
        .enabled(if: FileManager.default.fileExists(atPath: directory), "run scripts/fetch-fashion"))
    func real() throws {
        let test = try FashionPhotos(directory: Self.directory, split: .test)
        #expect(test.count == 10_000)
        #expect(FashionKind.allCases.allSatisfy { kind in test.kinds.count { $0 == kind } == 1000 })
        #expect(try FashionPhotos(directory: Self.directory, split: .train).count == 55_000)
        #expect(try FashionPhotos(directory: Self.directory, split: .validation).count == 5000)
    }

    private static func answer(_ question: String, _ scene: FashionScene) -> String? {
        func items(_ phrase: some StringProtocol) -> [FashionItem] {
            let words = phrase.split(separator: " ")
            return scene.items.filter { item in
                words.allSatisfy {
                    [item.kind.name, item.kind.plural, item.tint.name, "item", "items"].contains(String($0))
                }
            }
        }
        func only(_ phrase: some StringProtocol) -> FashionItem? { items(phrase).count == 1 ? items(phrase)[0] : nil }
        func at(_ place: some StringProtocol) -> FashionItem? { scene.items.first { $0.place == String(place) } }
        let words = question.dropLast().split(separator: " ")
        func from(_ index: Int) -> String { words[index...].joined(separator: " ") }
        if question.hasPrefix("what is in row") { return at(from(3))?.kind.name }
        if question.hasPrefix("what is the") { return only(from(3))?.kind.name }
        if question.hasPrefix("what colour is the item in row") { return at(from(6))?.tint.name }
        if question.hasPrefix("what colour is the") { return only(from(4))?.tint.name }
        if question.hasPrefix("where is the") { return only(from(3))?.place }
        if question.hasPrefix("how many") { return "\(items(words[2..<words.count - 2].joined(separator: " ")).count)" }
        if question.hasPrefix("is there") {
            let phrase = ["a", "an"].contains(words[2]) ? from(3) : from(2)
            return items(phrase).isEmpty ? "no" : "yes"
        }
        return nil
    }
}

extension IDXFile {
    /// As labels of photographs.
    fileprivate func kinds() throws -> [FashionKind] {
        try FashionPhotos(
            IDXFile(
                [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28] + [UInt8](repeating: 0, count: 784), path: "f",
                shape: [nil, 28, 28]),
            self, split: .test, path: "f"
        ).kinds
    }
}
