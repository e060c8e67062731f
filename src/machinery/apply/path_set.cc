#include "machinery/apply/path_set.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "machinery/apply/element_text.h"

namespace keles::apply {

const PathEntry* find(PathSet s, const PathElement& e) {
  auto all = entries_of(s);
  if (all.size() <= 8) {  // most are
    for (const PathEntry& x : all) {
      if (x.element == e) return &x;
    }
    return nullptr;
  }
  auto at = std::lower_bound(
      all.begin(), all.end(), e,
      [](const PathEntry& a, const PathElement& b) { return compare(a.element, b) < 0; });
  return at != all.end() && at->element == e ? &*at : nullptr;
}

size_t size(PathSet s) {
  size_t n = 0;
  for (const PathEntry& e : entries_of(s)) n += (e.member ? 1 : 0) + size(e.below);
  return n;
}

bool equal(PathSet a, PathSet b) {
  if (a == b) return true;
  auto x = entries_of(a), y = entries_of(b);
  if (x.size() != y.size()) return false;
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i].member != y[i].member || x[i].element != y[i].element ||
        !equal(x[i].below, y[i].below)) {
      return false;
    }
  }
  return true;
}

PathSet LevelStack::end(size_t from) {
  if (entries_.size() == from) return nullptr;
  auto begin = entries_.begin() + static_cast<ptrdiff_t>(from);
  auto less = [](const PathEntry& a, const PathEntry& b) {
    return compare(a.element, b.element) < 0;
  };
  bool rising = true;
  for (auto at = begin + 1; at < entries_.end() && rising; ++at) rising = less(at[-1], *at);
  if (!rising) {
    std::stable_sort(begin, entries_.end(), less);
    auto kept = begin;
    for (auto at = begin + 1; at < entries_.end(); ++at) {
      if (at->element == kept->element) {
        kept->member |= at->member;
        kept->below = unite(arena_, kept->below, at->below);
      } else {
        *++kept = *at;
      }
    }
    entries_.erase(kept + 1, entries_.end());
    begin = entries_.begin() + static_cast<ptrdiff_t>(from);
  }
  const size_t count = entries_.size() - from;
  auto* made = static_cast<PathEntry*>(arena_.allocate(count * sizeof(PathEntry)));
  std::uninitialized_copy(begin, entries_.end(), made);
  auto* level = static_cast<PathLevel*>(arena_.allocate(sizeof(PathLevel)));
  *level = PathLevel{made, count};
  entries_.resize(from);
  return level;
}

namespace {

// A level under construction next to `like`, of which it may turn out to be a copy: nothing is
// copied as long as it is the beginning of that.
class Draft {
 public:
  // `more`: how many entries may come that `like` does not have.
  Draft(Arena& arena, PathSet like, size_t more = 0)
      : arena_(arena), like_(like), old_(entries_of(like)), most_(old_.size() + more) {}
  void add(const PathEntry& e) {
    if (!e.member && !e.below) return;
    if (!made_) {
      if (count_ < old_.size() && same(e, old_[count_])) {
        ++count_;
        return;
      }
      made_ = static_cast<PathEntry*>(arena_.allocate(most_ * sizeof(PathEntry)));
      std::uninitialized_copy_n(old_.begin(), count_, made_);
    }
    new (made_ + count_++) PathEntry(e);
  }
  PathSet finish() {
    if (count_ == 0) return nullptr;
    if (!made_ && count_ == old_.size()) return like_;
    auto* level = static_cast<PathLevel*>(arena_.allocate(sizeof(PathLevel)));
    *level = PathLevel{made_ ? made_ : old_.data(), count_};
    return level;
  }

 private:
  static bool same(const PathEntry& a, const PathEntry& b) {
    return a.member == b.member && a.below == b.below && a.element == b.element;
  }
  Arena& arena_;
  PathSet like_;
  std::span<const PathEntry> old_;
  size_t most_, count_ = 0;
  PathEntry* made_ = nullptr;
};

// Walks two levels side by side: calls f(x, y), either of which may be null.
template <class F>
void zip(PathSet a, PathSet b, const F& f) {
  auto x = entries_of(a), y = entries_of(b);
  size_t i = 0, j = 0;
  while (i < x.size() || j < y.size()) {
    const int order = i == x.size() ? 1 : j == y.size() ? -1 : compare(x[i].element, y[j].element);
    f(order <= 0 ? &x[i] : nullptr, order >= 0 ? &y[j] : nullptr);
    i += order <= 0 ? 1 : 0;
    j += order >= 0 ? 1 : 0;
  }
}

}  // namespace

PathSet unite(Arena& arena, PathSet a, PathSet b) {
  if (!a || a == b) return b;
  if (!b) return a;
  Draft out(arena, a, b->count);
  zip(a, b, [&](const PathEntry* x, const PathEntry* y) {
    if (!x || !y) {
      out.add(x ? *x : *y);
    } else {
      out.add({x->element, unite(arena, x->below, y->below), x->member || y->member});
    }
  });
  return out.finish();
}

PathSet intersect(Arena& arena, PathSet a, PathSet b) {
  if (!a || !b) return nullptr;
  if (a == b) return a;
  Draft out(arena, a);
  zip(a, b, [&](const PathEntry* x, const PathEntry* y) {
    if (x && y) {
      out.add({x->element, intersect(arena, x->below, y->below), x->member && y->member});
    }
  });
  return out.finish();
}

PathSet subtract(Arena& arena, PathSet a, PathSet b) {
  if (!a || !b) return a;
  if (a == b) return nullptr;
  Draft out(arena, a);
  zip(a, b, [&](const PathEntry* x, const PathEntry* y) {
    if (!x) return;
    if (!y) {
      out.add(*x);
    } else {
      out.add({x->element, subtract(arena, x->below, y->below), x->member && !y->member});
    }
  });
  return out.finish();
}

PathSet subtract_deep(Arena& arena, PathSet a, PathSet b) {
  if (!a || !b) return a;
  Draft out(arena, a);
  zip(a, b, [&](const PathEntry* x, const PathEntry* y) {
    if (!x) return;
    if (!y) {
      out.add(*x);
    } else if (!y->member) {
      out.add({x->element, subtract_deep(arena, x->below, y->below), x->member});
    }
  });
  return out.finish();
}

PathSet keep_matching(Arena& arena, PathSet s, std::span<const PathPattern> patterns) {
  Draft out(arena, s);
  for (const PathEntry& e : entries_of(s)) {
    std::vector<PathPattern> rest;
    bool named = false, covered = false;
    for (const PathPattern& p : patterns) {
      if (p.empty()) {
        covered = true;
        continue;
      }
      if (p[0] != "*" && !(e.element.kind == 'f' && p[0] == e.element.body)) continue;
      named = true;
      if (p.size() == 1) covered = true;
      rest.emplace_back(p.begin() + 1, p.end());
    }
    if (covered) {
      out.add(e);
    } else if (named) {
      // A member on the way is kept, as upstream keeps it.
      out.add({e.element, keep_matching(arena, e.below, rest), e.member});
    }
  }
  return out.finish();
}

PathSet fields_set(Arena& arena, std::span<const std::string_view> paths) {
  PathSet out = nullptr;
  for (std::string_view path : paths) {
    std::vector<std::string_view> steps;
    while (!path.empty()) {
      const size_t dot = path.find('.');
      steps.push_back(path.substr(0, dot));
      path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
    }
    LevelStack stack(arena);
    PathSet below = nullptr;
    for (size_t i = steps.size(); i-- > 0;) {
      const size_t from = stack.begin();
      stack.push({steps[i], 'f'}, below == nullptr, below);
      below = stack.end(from);
    }
    out = unite(arena, out, below);
  }
  return out;
}

namespace {

void list_into(PathSet s, std::string& prefix, std::vector<std::string>& out) {
  for (const PathEntry& e : entries_of(s)) {
    if (e.member) out.push_back(prefix + to_string(e.element));
  }
  for (const PathEntry& e : entries_of(s)) {
    if (!e.below) continue;
    const size_t before = prefix.size();
    prefix += to_string(e.element);
    list_into(e.below, prefix, out);
    prefix.resize(before);
  }
}

}  // namespace

std::vector<std::string> list_paths(PathSet s) {
  std::vector<std::string> out;
  std::string prefix;
  list_into(s, prefix, out);
  return out;
}

}  // namespace keles::apply
