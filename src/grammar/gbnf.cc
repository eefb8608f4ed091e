#include "grammar/gbnf.h"

#include <fmt/core.h>

#include <cctype>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/utf8.h"
#include "grammar/lark_text.h"

namespace quern::grammar {
namespace {

constexpr int kMaxDepth = 100;
constexpr int kMaxRepeats = 10'000;
constexpr size_t kMaxRules = 2000;

struct Item;
using Sequence = std::vector<Item>;
using Choice = std::vector<Sequence>;

// A literal, a set of characters, a rule's name or a group; and how often it comes.
struct Item {
  enum class Kind { kLiteral, kSet, kRule, kGroup };
  Kind kind = Kind::kLiteral;
  std::string text;  // the literal; the set as a regular expression; the name
  Choice group;
  int least = 1;
  int most = 1;  // -1 = any number
};

void AppendUtf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += {static_cast<char>(0xC0 | (c >> 6)), static_cast<char>(0x80 | (c & 0x3F))};
  } else if (c < 0x10000) {
    out += {static_cast<char>(0xE0 | (c >> 12)), static_cast<char>(0x80 | (c >> 6 & 0x3F)),
            static_cast<char>(0x80 | (c & 0x3F))};
  } else {
    out += {static_cast<char>(0xF0 | (c >> 18)), static_cast<char>(0x80 | (c >> 12 & 0x3F)),
            static_cast<char>(0x80 | (c >> 6 & 0x3F)), static_cast<char>(0x80 | (c & 0x3F))};
  }
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  Result<std::map<std::string, Choice>> Read() {
    std::map<std::string, Choice> rules;
    Skip(true);
    while (at_ < text_.size()) {
      const std::string name = Name();
      if (name.empty()) return Bad("a rule's name is expected");
      Skip(true);
      if (!text_.substr(at_).starts_with("::=")) return Bad("'::=' is expected");
      at_ += 3;
      Skip(true);
      QUERN_ASSIGN(Choice choice, ReadChoice(0));
      if (at_ < text_.size() && text_[at_] != '\n' && text_[at_] != '\r')
        return Bad(fmt::format("'{}' is not expected", text_.substr(at_, 1)));
      if (!rules.emplace(name, std::move(choice)).second) return Bad(fmt::format("rule '{}' is there twice", name));
      if (rules.size() > kMaxRules)
        return Error(Code::kExhausted, fmt::format("there are more than {} rules", kMaxRules));
      Skip(true);
    }
    return rules;
  }

 private:
  std::unexpected<Status> Bad(const std::string& what) const {
    size_t line = 1;
    for (const char c : text_.substr(0, at_)) line += c == '\n' ? 1 : 0;
    return Error(Code::kInvalidArgument, fmt::format("line {} of the grammar: {}", line, what));
  }

  void Skip(bool lines) {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  std::string Name() {
    const size_t begin = at_;
    while (at_ < text_.size() &&
           (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 || text_[at_] == '-' || text_[at_] == '_'))
      ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  bool Take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  // Inside a group a line break is a blank, and so it is behind '|'.
  Result<Choice> ReadChoice(int depth) {
    if (depth > kMaxDepth) return Error(Code::kExhausted, fmt::format("groups are nested deeper than {}", kMaxDepth));
    Choice choice;
    do {
      Skip(true);
      QUERN_ASSIGN(Sequence sequence, ReadSequence(depth));
      choice.push_back(std::move(sequence));
    } while (Take('|'));
    return choice;
  }

  Result<Sequence> ReadSequence(int depth) {
    Sequence sequence;
    for (;;) {
      if (at_ >= text_.size() || text_[at_] == '|' || text_[at_] == ')' || text_[at_] == '\n' || text_[at_] == '\r')
        return sequence;
      QUERN_ASSIGN(Item item, ReadItem(depth));
      QUERN_TRY(ReadRepeats(item));
      sequence.push_back(std::move(item));
      Skip(depth > 0);
    }
  }

  Result<Item> ReadItem(int depth) {
    Item item;
    if (Take('"')) {
      while (!Take('"')) {
        QUERN_ASSIGN(const uint32_t c, Character());
        AppendUtf8(item.text, c);
      }
    } else if (Take('[')) {
      item.kind = Item::Kind::kSet;
      QUERN_ASSIGN(item.text, Set());
    } else if (Take('.')) {
      item.kind = Item::Kind::kSet;
      item.text = "(?s:.)";
    } else if (Take('(')) {
      item.kind = Item::Kind::kGroup;
      QUERN_ASSIGN(item.group, ReadChoice(depth + 1));
      if (!Take(')')) return Bad("')' is expected");
    } else if (at_ < text_.size() && (text_[at_] == '<' || text_[at_] == '!')) {
      return Error(Code::kUnsupported, "tokens in angle brackets are not supported in a grammar");
    } else {
      item.kind = Item::Kind::kRule;
      item.text = Name();
      if (item.text.empty()) return Bad(fmt::format("'{}' is not expected", text_.substr(at_, 1)));
    }
    return item;
  }

  Result<void> ReadRepeats(Item& item) {
    if (Take('*')) {
      item.least = 0;
      item.most = -1;
    } else if (Take('+')) {
      item.most = -1;
    } else if (Take('?')) {
      item.least = 0;
    } else if (Take('{')) {
      QUERN_ASSIGN(item.least, Number());
      item.most = item.least;
      if (Take(',')) {
        item.most = -1;
        if (at_ < text_.size() && text_[at_] != '}') {
          QUERN_ASSIGN(item.most, Number());
        }
      }
      if (!Take('}') || (item.most >= 0 && item.most < item.least))
        return Bad("a repetition such as {2,5} is expected");
    }
    return {};
  }

  Result<int> Number() {
    int n = 0;
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
      n = n * 10 + (text_[at_++] - '0');
      if (n > kMaxRepeats) return Error(Code::kExhausted, fmt::format("a repetition is above {}", kMaxRepeats));
    }
    if (at_ == begin) return Bad("a number is expected");
    return n;
  }

  Result<std::string> Set() {
    std::string out = Take('^') ? "[^" : "[";
    while (!Take(']')) {
      QUERN_ASSIGN(const uint32_t first, Character());
      uint32_t last = first;
      if (at_ + 1 < text_.size() && text_[at_] == '-' && text_[at_ + 1] != ']') {
        ++at_;
        QUERN_ASSIGN(last, Character());
      }
      if (last < first) return Bad("a range of characters runs backwards");
      out += fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", first, last);
    }
    if (out == "[" || out == "[^") return Bad("a set of characters is empty");
    return out + "]";
  }

  // One character of a literal or a set, perhaps escaped.
  Result<uint32_t> Character() {
    if (at_ >= text_.size()) return Bad("a literal or a set is not closed");
    if (text_[at_] != '\\') {
      const auto lead = static_cast<unsigned char>(text_[at_]);
      const size_t n = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
      uint32_t c = n == 1 ? lead : lead & (0xFFU >> (n + 1));
      for (size_t i = 1; i < n; ++i) c = c << 6 | (static_cast<unsigned char>(text_[at_ + i]) & 0x3FU);
      at_ += n;
      return c;
    }
    const char kind = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    at_ += 2;
    switch (kind) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'x':
        return Hex(2);
      case 'u':
        return Hex(4);
      case 'U':
        return Hex(8);
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-':
      case '^':
        return static_cast<uint32_t>(kind);
      default:
        return Bad("an unknown escape");
    }
  }

  Result<uint32_t> Hex(size_t n) {
    uint32_t c = 0;
    for (size_t i = 0; i < n; ++i, ++at_) {
      const char d = at_ < text_.size() ? text_[at_] : ' ';
      if (std::isxdigit(static_cast<unsigned char>(d)) == 0) return Bad("hexadecimal digits are expected");
      c = c * 16 + static_cast<uint32_t>(d <= '9' ? d - '0' : (d | 0x20) - 'a' + 10);
    }
    if (c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return Bad("an escape names no character");
    return c;
  }

  const std::string_view text_;
  size_t at_ = 0;
};

class Writer {
 public:
  explicit Writer(const std::map<std::string, Choice>& rules) : rules_(rules) {
    int n = 0;
    for (const auto& [name, choice] : rules) idx_[name] = n++;
  }

  Result<std::string> Write() {
    for (const auto& [name, choice] : rules_) QUERN_TRY(CheckNames(choice));
    if (!rules_.contains("root")) return Error(Code::kInvalidArgument, "the grammar has no rule 'root'");
    std::string body;
    for (const auto& [name, choice] : rules_) {
      const std::string text = IsRegular(name) ? Terminal(choice) : Rule(choice);
      body += fmt::format("{}: {}\n", LarkName(name), text);
    }
    return fmt::format("start: {}\n{}{}", LarkName("root"), body, terminals_);
  }

 private:
  Result<void> CheckNames(const Choice& choice) const {
    for (const Sequence& sequence : choice) {
      for (const Item& item : sequence) {
        if (item.kind == Item::Kind::kGroup) QUERN_TRY(CheckNames(item.group));
        if (item.kind == Item::Kind::kRule && !rules_.contains(item.text))
          return Error(Code::kInvalidArgument, fmt::format("rule '{}' is not defined", item.text.substr(0, 60)));
      }
    }
    return {};
  }

  std::string LarkName(const std::string& name) {
    return fmt::format("{}{}", IsRegular(name) ? "R" : "r", idx_.at(name));
  }

  // Whether a rule leads back to itself nowhere. Rules under way count as not regular.
  bool IsRegular(const std::string& name) {
    const auto [known, is_new] = regular_.try_emplace(name, false);
    if (is_new) {
      const bool regular = IsRegular(rules_.at(name));
      regular_[name] = regular;
      return regular;
    }
    return known->second;
  }
  bool IsRegular(const Choice& choice) {
    bool all = true;
    for (const Sequence& sequence : choice) {
      for (const Item& item : sequence) all = IsRegular(item) && all;
    }
    return all;
  }
  bool IsRegular(const Item& item) {
    if (item.kind == Item::Kind::kRule) return IsRegular(item.text);
    return item.kind != Item::Kind::kGroup || IsRegular(item.group);
  }

  static std::string Repeats(const Item& item) {
    if (item.least == 1 && item.most == 1) return "";
    return fmt::format("{{{},{}}}", item.least, item.most < 0 ? std::string() : std::to_string(item.most));
  }

  std::string Terminal(const Choice& choice) {
    std::string out;
    bool may_be_empty = false;
    for (const Sequence& sequence : choice) {
      const std::string one = Terminal(sequence);
      may_be_empty = may_be_empty || one.empty();
      if (!one.empty()) out += (out.empty() ? "" : " | ") + one;
    }
    if (out.empty()) return "\"\"";
    return may_be_empty ? "(" + out + ")?" : out;
  }
  std::string Terminal(std::span<const Item> items) {
    std::string out;
    for (const Item& item : items) {
      if (item.kind == Item::Kind::kLiteral && item.text.empty()) continue;
      if (!out.empty()) out += ' ';
      out += Atom(item) + Repeats(item);
    }
    return out;
  }
  std::string Atom(const Item& item) {
    switch (item.kind) {
      case Item::Kind::kLiteral:
        return LarkString(item.text);
      case Item::Kind::kSet:
        return LarkRegex(item.text);
      case Item::Kind::kRule:
        return LarkName(item.text);
      case Item::Kind::kGroup:
        return "(" + (IsRegular(item) ? Terminal(item.group) : Rule(item.group)) + ")";
    }
    return "";
  }

  // Runs of regular items become a terminal each.
  std::string Rule(const Choice& choice) {
    std::string out;
    for (const Sequence& sequence : choice) {
      if (!out.empty()) out += " | ";
      std::string one;
      for (size_t i = 0; i < sequence.size();) {
        size_t end = i;
        while (end < sequence.size() && IsRegular(sequence[end])) ++end;
        if (!one.empty()) one += ' ';
        if (end > i) {
          one += Run(std::span(sequence).subspan(i, end - i));
        } else {
          one += Atom(sequence[end]) + Repeats(sequence[end]);
          ++end;
        }
        i = end;
      }
      out += one.empty() ? "\"\"" : one;
    }
    return out;
  }
  std::string Run(std::span<const Item> items) {
    const std::string text = Terminal(items);
    if (text.empty()) return "\"\"";
    const std::string name = fmt::format("T{}", n_terminals_++);
    terminals_ += fmt::format("{}: {}\n", name, text);
    return name;
  }

  const std::map<std::string, Choice>& rules_;
  std::map<std::string, int> idx_;
  std::map<std::string, bool> regular_;
  std::string terminals_;
  int n_terminals_ = 0;
};

}  // namespace

Result<std::string> LarkOfGbnf(std::string_view gbnf) {
  if (!IsValidUtf8(gbnf)) return Error(Code::kInvalidArgument, "the grammar is not UTF-8");
  QUERN_ASSIGN(const auto rules, Reader(gbnf).Read());
  return Writer(rules).Write();
}

}  // namespace quern::grammar
