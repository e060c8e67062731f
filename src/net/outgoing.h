// Internal to net/: bytes on their way to a transport: small ones joined, large ones where they
// lie.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "net/stream.h"

namespace keles::net {

class Outgoing {
 public:
  static constexpr size_t kLarge = 2048;  // from here on it costs less to point than to copy

  bool empty() const { return bytes_ == 0; }
  size_t bytes() const { return bytes_; }

  void append(std::string_view text) {
    if (text.empty()) return;
    bytes_ += text.size();
    if (pieces_.empty() || pieces_.back().shared) pieces_.push_back({nullptr, own_.size(), 0});
    own_.append(text);
    pieces_.back().size += text.size();
  }
  // `n` bytes of `text` from `from`.
  void append(const SharedBytes& text, size_t from, size_t n) {
    if (n < kLarge) return append(std::string_view(*text).substr(from, n));
    bytes_ += n;
    pieces_.push_back({text, from, n});
  }

  // The first `max` pieces, into `to`; valid until the next change. How many they are.
  int pieces(iovec* to, int max) const {
    int n = 0;
    for (size_t i = first_; i < pieces_.size() && n < max; ++i, ++n) {
      const Piece& p = pieces_[i];
      const std::string& text = p.shared ? *p.shared : own_;
      to[n] = {const_cast<char*>(text.data() + p.from), p.size};
    }
    return n;
  }

  // The first `n` bytes have left.
  void sent(size_t n) {
    bytes_ -= n;
    while (n > 0) {
      Piece& p = pieces_[first_];
      const size_t k = std::min(n, p.size);
      p.from += k;
      p.size -= k;
      n -= k;
      if (!p.shared) own_sent_ = p.from;
      if (p.size > 0) break;
      p.shared.reset();
      ++first_;
    }
    if (bytes_ == 0) {
      clear();
    } else {
      forget_sent();
    }
  }
  void clear() {
    pieces_.clear();
    own_.clear();
    bytes_ = own_sent_ = first_ = 0;
  }

  // Takes a buffer to join small ones in, while it holds nothing; gives it back.
  void lend(std::string* buffer) {
    if (bytes_ == 0 && own_.capacity() < buffer->capacity()) own_.swap(*buffer);
  }
  void give_back(std::string* buffer) {
    if (bytes_ != 0 || own_.capacity() <= kIdle) return;
    if (own_.capacity() > buffer->capacity()) own_.swap(*buffer);
    if (own_.capacity() > kIdle) std::string().swap(own_);
    if (pieces_.capacity() > kForget) std::vector<Piece>().swap(pieces_);
  }

 private:
  static constexpr size_t kCompact = 64 * 1024, kIdle = 4096, kForget = 64;
  struct Piece {
    SharedBytes shared;  // null: of own_
    size_t from, size;
  };
  // Now and then, so that a peer that never takes all does not make it grow.
  void forget_sent() {
    if (own_sent_ >= kCompact && own_sent_ >= own_.size() / 2) {
      own_.erase(0, own_sent_);
      for (size_t i = first_; i < pieces_.size(); ++i) {
        if (!pieces_[i].shared) pieces_[i].from -= own_sent_;
      }
      own_sent_ = 0;
    }
    if (first_ >= kForget && first_ >= pieces_.size() / 2) {
      pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<ptrdiff_t>(first_));
      first_ = 0;
    }
  }

  std::vector<Piece> pieces_;
  std::string own_;
  size_t bytes_ = 0, own_sent_ = 0, first_ = 0;
};

}  // namespace keles::net
