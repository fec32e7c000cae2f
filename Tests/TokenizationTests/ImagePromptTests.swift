import Testing

@testable import Tokenization

@Suite("Prompts with images")
struct ImagePromptTests {
    @Test("every golden prompt has the reference's ids", .tags(.golden))
    func goldenPrompts() throws {
        let cases = try Golden.tokenized().cases.filter { $0.kind == "tokenizer_image_token" }
        let tokenizers = try [true: Golden.llamaTokenizer(legacy: true), false: Golden.llamaTokenizer(legacy: false)]
        var tally = Tally()
        for item in cases {
            let prompt = try #require(item.prompt)
            let tokenizer = try #require(tokenizers[item.legacy])
            let got = ImagePrompt(prompt, tokenizer: tokenizer)
            tally.compare(got.ids, try #require(item.ids), prompt)
        }
        tally.expect(cases.count)
    }

    @Test("segments are the ids cut at the images, numbered in order")
    func segments() throws {
        let tokenizer = try LlamaTokenizer(directory: TinyModel.directory)
        let prompt = ImagePrompt("a<image><image>b<image>", tokenizer: tokenizer)
        #expect(prompt.imageCount == 3)
        let b = tokenizer.encode("b", addingSpecialTokens: false)
        #expect(
            prompt.segments == [.text(tokenizer.encode("a")), .image(0), .image(1), .text(b), .image(2)])
    }

    @Test("without a BOS nothing is taken from any part")
    func withoutBOS() throws {
        var configuration = LlamaTokenizerConfiguration()
        configuration.addBosToken = false
        let tokenizer = LlamaTokenizer(try TinyModel.tokenizer(), configuration: configuration)
        #expect(
            ImagePrompt("a<image>b", tokenizer: tokenizer).ids == tokenizer.encode("a") + [-200] + tokenizer.encode("b")
        )
    }
}
