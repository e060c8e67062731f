// A peer of which a test says every byte, without a socket.
#pragma once

#include <algorithm>
#include <string>
#include <utility>

#include "base/sync.h"
#include "net/stream.h"

namespace keles::net {

// Gives what is said, at most `piece` bytes at a time and a turn of the loop apart; takes all that
// is written. The peer's end comes when it is closed.
class MemoryStream final : public ByteStream {
 public:
  struct Said {
    std::string bytes;
    Event more;
    bool ended = false;
    void say(std::string_view text) {
      bytes += text;
      more.set();
    }
    void end() {
      ended = true;
      more.set();
    }
  };
  MemoryStream(Said* said, size_t piece) : said_(said), piece_(piece) {}

  Task<Result<std::string>> read(Context ctx, size_t max) override {
    TRY_CO(ctx.sleep(Duration(0)));
    while (said_->bytes.empty() && !said_->ended) {
      said_->more.reset();
      TRY_CO(said_->more.wait(ctx));
    }
    std::string out = said_->bytes.substr(0, std::min(max, piece_));
    said_->bytes.erase(0, out.size());
    co_return out;
  }
  Task<Status> write(Context ctx, std::string) override {
    Status s = co_await ctx.sleep(Duration(0));
    co_return s;
  }
  Task<Status> shutdown_write(Context) override { co_return Status(); }
  void close() override { said_->end(); }

 private:
  Said* said_;
  const size_t piece_;
};

}  // namespace keles::net
