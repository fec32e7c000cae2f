import Testing

@testable import Tokenization

@Suite("Prompts with images")
struct ImagePromptTests {
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
