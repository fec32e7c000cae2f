import Foundation

/// Ways of writing answers so that those which mean the same are the same text.
public enum AnswerNormalization {
    /// Lower case, without punctuation and articles, one space between words.
    ///
    /// Source: SQuAD (arXiv 1606.05250), `normalize_answer` of the evaluation script, version 1.1.
    public static func plain(_ text: String) -> String {
        let letters = text.lowercased().unicodeScalars.filter { !asciiPunctuation.contains($0) }
        return words(of: String(String.UnicodeScalarView(letters)))
            .filter { !articles.contains($0) }.joined(separator: " ")
    }

    /// Lower case; punctuation taken away or, between letters, made a space; numbers as digits; no articles; apostrophes
    /// put into contractions.
    ///
    /// Both answers and references go through all of it, as in the evaluation of TextVQA. The script of VQA leaves
    /// numbers and articles of references as they are, which its published references make no difference to.
    /// Source: VQA (arXiv 1505.00468), `vqaEval.py`: `processPunctuation`, `processDigitArticle`.
    public static func vqa(_ text: String) -> String {
        let line = text.lowercased().map { $0.isNewline || $0 == "\t" ? " " : $0 }
        let whole = String(line).trimmingCharacters(in: .whitespaces)
        let hasThousands = whole.contains(#/\d,\d/#)
        var result = whole
        for mark in vqaPunctuation where whole.contains(mark) {
            let isLoose = whole.contains("\(mark) ") || whole.contains(" \(mark)") || hasThousands
            result = result.replacingOccurrences(of: String(mark), with: isLoose ? "" : " ")
        }
        result = result.replacing(#/\.(?!\d)/#, with: "")
        return words(of: result).map { numbers[$0] ?? $0 }.filter { !articles.contains($0) }
            .map { contractions[$0] ?? $0 }.joined(separator: " ")
    }

    /// The parts of a text between white space.
    private static func words(of text: String) -> [String] {
        text.split(whereSeparator: \.isWhitespace).map(String.init)
    }

    private static let articles: Set<String> = ["a", "an", "the"]
    private static let asciiPunctuation = Set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~".unicodeScalars)
    private static let vqaPunctuation: [Character] = Array(";/[]\"{}()=+\\_-><@`,?!")
    private static let numbers = Dictionary(
        uniqueKeysWithValues: ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
            .enumerated().map { ($1, "\($0)") } + [("none", "0")])

    /// Contractions by what is left of them without one or all of their apostrophes.
    private static let contractions: [String: String] = {
        var table: [String: String] = [:]
        for word in contractionList.split(separator: " ") {
            table[word.filter { $0 != "'" }] = String(word)
            for index in word.indices where word[index] == "'" {
                table[String(word[..<index]) + word[word.index(after: index)...]] = String(word)
            }
        }
        return table
    }()

    /// English contractions that are no other word without their apostrophe ("we're" and "she'd" are not here).
    private static let contractionList = """
        ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd've \
        he's how'd how'll how's i'd've i'm i've isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't \
        must've needn't not've o'clock oughtn't shan't she'd've should've shouldn't shouldn't've somebody'd've \
        somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll \
        that's there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've \
        weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's who've \
        why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll \
        you're you've
        """
}
