#include "server/registry/struct_diff.h"

#include <algorithm>
#include <map>
#include <vector>

#include "machinery/codec_json.h"

namespace keles::registry {
namespace {

using Lines = std::vector<std::string>;

Lines lines_of(std::string_view json) {
  const std::string laid = indent_json(json, 1);
  Lines out;
  for (size_t from = 0; from <= laid.size();) {
    const size_t end = std::min(laid.find('\n', from), laid.size());
    out.push_back(laid.substr(from, end - from));
    from = end + 1;
  }
  return out;
}

struct Match {
  size_t a, b, size;
};

// The longest run of equal lines between these bounds, the first of those that are equally long.
class Matcher {
 public:
  Matcher(const Lines& a, const Lines& b) : a_(a), b_(b) {
    for (size_t j = 0; j < b.size(); ++j) places_[b[j]].push_back(j);
    // As difflib has it: what every hundredth line or more says begins no match in a long text.
    if (b.size() >= kLong) {
      std::erase_if(places_, [&](const auto& p) { return p.second.size() > b.size() / 100 + 1; });
    }
  }

  std::vector<Match> matches() {
    std::vector<Match> out;
    collect(0, a_.size(), 0, b_.size(), out);
    std::vector<Match> joined;
    for (const Match& m : out) {
      if (!joined.empty() && joined.back().a + joined.back().size == m.a &&
          joined.back().b + joined.back().size == m.b) {
        joined.back().size += m.size;
      } else {
        joined.push_back(m);
      }
    }
    joined.push_back({a_.size(), b_.size(), 0});
    return joined;
  }

 private:
  static constexpr size_t kLong = 200;

  Match longest(size_t a_lo, size_t a_hi, size_t b_lo, size_t b_hi) const {
    Match best{a_lo, b_lo, 0};
    std::map<size_t, size_t> ends;  // a run's end in b: its length
    for (size_t i = a_lo; i < a_hi; ++i) {
      std::map<size_t, size_t> next;
      auto found = places_.find(a_[i]);
      if (found != places_.end()) {
        for (size_t j : found->second) {
          if (j < b_lo) continue;
          if (j >= b_hi) break;
          auto before = j == 0 ? ends.end() : ends.find(j - 1);
          const size_t k = (before == ends.end() ? 0 : before->second) + 1;
          next[j] = k;
          if (k > best.size) best = {i + 1 - k, j + 1 - k, k};
        }
      }
      ends = std::move(next);
    }
    while (best.a > a_lo && best.b > b_lo && a_[best.a - 1] == b_[best.b - 1]) {
      --best.a, --best.b, ++best.size;
    }
    while (best.a + best.size < a_hi && best.b + best.size < b_hi &&
           a_[best.a + best.size] == b_[best.b + best.size]) {
      ++best.size;
    }
    return best;
  }

  void collect(size_t a_lo, size_t a_hi, size_t b_lo, size_t b_hi, std::vector<Match>& out) const {
    const Match m = longest(a_lo, a_hi, b_lo, b_hi);
    if (m.size == 0) return;
    if (a_lo < m.a && b_lo < m.b) collect(a_lo, m.a, b_lo, m.b, out);
    out.push_back(m);
    if (m.a + m.size < a_hi && m.b + m.size < b_hi) {
      collect(m.a + m.size, a_hi, m.b + m.size, b_hi, out);
    }
  }

  const Lines &a_, &b_;
  std::map<std::string_view, std::vector<size_t>> places_;
};

struct Step {
  bool equal;
  size_t a1, a2, b1, b2;
};
using Steps = std::vector<Step>;

Steps steps_of(const std::vector<Match>& matches) {
  Steps out;
  size_t a = 0, b = 0;
  for (const Match& m : matches) {
    if (a < m.a || b < m.b) out.push_back({false, a, m.a, b, m.b});
    if (m.size > 0) out.push_back({true, m.a, m.a + m.size, m.b, m.b + m.size});
    a = m.a + m.size;
    b = m.b + m.size;
  }
  return out;
}

// Changes with the lines around them; far apart ones in groups of their own.
std::vector<Steps> groups_of(Steps steps) {
  constexpr size_t kAround = 3;
  auto tail = [](Step s) {
    if (s.a2 - s.a1 > kAround) s.b1 = s.b2 - kAround, s.a1 = s.a2 - kAround;
    return s;
  };
  auto head = [](Step s) {
    if (s.a2 - s.a1 > kAround) s.a2 = s.a1 + kAround, s.b2 = s.b1 + kAround;
    return s;
  };
  std::vector<Steps> out;
  if (!steps.empty() && steps.front().equal) steps.front() = tail(steps.front());
  if (!steps.empty() && steps.back().equal) steps.back() = head(steps.back());
  Steps group;
  for (const Step& s : steps) {
    if (s.equal && s.a2 - s.a1 > 2 * kAround) {
      group.push_back(head(s));
      out.push_back(std::move(group));
      group = {tail(s)};
    } else {
      group.push_back(s);
    }
  }
  if (!group.empty() && !(group.size() == 1 && group[0].equal)) out.push_back(std::move(group));
  return out;
}

std::string range_text(size_t from, size_t to) {
  const size_t size = to - from;
  if (size == 1) return std::to_string(from + 1);
  return std::to_string(size == 0 ? from : from + 1) + "," + std::to_string(size);
}

}  // namespace

std::string json_diff(std::string_view before, std::string_view now) {
  const Lines a = lines_of(before), b = lines_of(now);
  std::string out;
  auto add = [&](char mark, const Lines& lines, size_t from, size_t to) {
    for (size_t i = from; i < to; ++i) out.append(1, mark).append(lines[i]).append("\n");
  };
  for (const Steps& group : groups_of(steps_of(Matcher(a, b).matches()))) {
    out += "@@ -" + range_text(group.front().a1, group.back().a2) + " +" +
           range_text(group.front().b1, group.back().b2) + " @@\n";
    for (const Step& s : group) {
      if (s.equal) {
        add(' ', a, s.a1, s.a2);
      } else {
        add('-', a, s.a1, s.a2);
        add('+', b, s.b1, s.b2);
      }
    }
  }
  return out;
}

}  // namespace keles::registry
