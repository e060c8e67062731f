#include "net/sealed_transport.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

namespace keles::net {
namespace {

// Sealed before they are handed to the kernel together: what a peer that takes nothing leaves here.
constexpr size_t kBatch = 4;
constexpr size_t kBatchBytes = (kBatch + 1) * (kRecordText + kRecordMore);
constexpr size_t kReadBytes = 32 * 1024;
constexpr char kWarning = 1, kFatal = 2;  // AlertLevel

class SealedTransport final : public Transport {
 public:
  SealedTransport(std::shared_ptr<Fd> fd, TrafficSecret theirs, TrafficSecret ours)
      : Transport(std::move(fd)), reader_(std::move(theirs)), key_(std::move(ours), true) {}
  ~SealedTransport() override { say(TlsAlert::kCloseNotify, kWarning); }

  ssize_t try_read(char* to, size_t n) override {
    if (fd_->closed() || failed_) return kFailed;
    // One for all connections of the thread: each keeps what is not a whole record yet.
    thread_local std::string raw(kReadBytes + kLongestRecord, '\0');
    for (;;) {
      std::string_view in = rest_;
      if (!reader_.ready(rest_)) {
        const ssize_t got = receive(raw.data() + rest_.size(), kReadBytes);
        if (got <= 0) return got;
        memcpy(raw.data(), rest_.data(), rest_.size());
        in = {raw.data(), rest_.size() + static_cast<size_t>(got)};
      }
      size_t used = 0;
      const size_t said = reader_.take(in, to, n, &used);
      keep(in, used);
      if (said > 0) return static_cast<ssize_t>(said);
      if (reader_.failed()) return refuse();
      if (reader_.ended()) return kEndOfStream;
    }
  }
  bool buffered() const override { return reader_.ready(rest_); }

  // As with OpenSSL: what was sealed and not taken by the kernel is not counted as written, and the
  // next call begins with the same text.
  ssize_t try_write(const iovec* parts, int count) override {
    if (fd_->closed() || failed_) return kFailed;
    if (said_last_) {
      error_ = "write after the end";
      return kFailed;
    }
    if (!waiting_.empty()) {
      const ssize_t pushed = push_waiting();
      if (pushed != 0) return pushed;
    }
    Pieces from{parts, count};
    size_t left = from.left(), done = std::min(left, sealed_text_);
    from.skip(done);
    left -= done;
    sealed_text_ -= done;
    while (left > 0) {
      const size_t text = std::min(left, kBatch * kRecordText);
      const size_t taken = write_batch(&from, text, text < left);
      if (failed_) return kFailed;
      done += taken;
      left -= text;
      if (!waiting_.empty()) break;
    }
    return done > 0 || waiting_.empty() ? static_cast<ssize_t>(done) : kWouldBlock;
  }

  void shutdown_write() override { say(TlsAlert::kCloseNotify, kWarning); }

 private:
  ssize_t receive(char* to, size_t n) {
    for (;;) {
      const ssize_t got = ::recv(fd_->get(), to, n, 0);
      if (got >= 0) return got;
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return kWouldBlock;
      return fail(strerror(errno));
    }
  }
  // Bytes that the kernel took: fewer than n when it takes no more.
  size_t send(const char* from, size_t n, bool more) {
    size_t done = 0;
    while (done < n) {
      const ssize_t put =
          ::send(fd_->get(), from + done, n - done, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0 && errno != EAGAIN) (void)fail(strerror(errno));
      if (put < 0) break;
      done += static_cast<size_t>(put);
    }
    return done;
  }

  // Seals `text` bytes and sends them; those of the records that left whole.
  size_t write_batch(Pieces* from, size_t text, bool more) {
    thread_local std::string out(kBatchBytes, '\0');
    size_t size = renew_key(out.data());
    const size_t before = size;
    for (size_t left = text; left > 0;) {
      const size_t n = std::min(left, kRecordText);
      if (!key_.seal(RecordType::kData, from, n, out.data() + size)) {
        (void)fail("a record could not be encrypted");
        return 0;
      }
      size += n + kRecordMore;
      left -= n;
    }
    const size_t sent = send(out.data(), size, more);
    if (sent == size) return text;
    waiting_.assign(out, sent, size - sent);
    const size_t whole = sent <= before ? 0 : (sent - before) / (kRecordText + kRecordMore);
    const size_t taken = std::min(text, whole * kRecordText);
    sealed_text_ = text - taken;
    return taken;
  }

  // Writes a KeyUpdate to `to` and changes the key, if it is time or the peer has asked for it.
  size_t renew_key(char* to) {
    if (!reader_.take_update_wish() && !key_.worn()) return 0;
    iovec v{const_cast<char*>(kKeyUpdate.data()), kKeyUpdate.size()};
    Pieces message{&v, 1};
    if (!key_.seal(RecordType::kHandshake, &message, v.iov_len, to)) return 0;
    key_.next();
    return v.iov_len + kRecordMore;
  }

  // 0 once all that waited has left.
  ssize_t push_waiting() {
    const size_t sent = send(waiting_.data(), waiting_.size(), false);
    if (failed_) return kFailed;
    if (sent < waiting_.size()) {
      waiting_.erase(0, sent);
      return kWouldBlock;
    }
    std::string().swap(waiting_);
    return 0;
  }

  // Once, and as far as the socket takes it; behind what waits.
  void say(TlsAlert alert, char level) {
    if (fd_->closed() || failed_ || said_last_) return;
    said_last_ = true;
    char text[2] = {level, static_cast<char>(alert)};
    iovec v{text, sizeof text};
    Pieces message{&v, 1};
    char record[sizeof text + kRecordMore];
    if (!key_.seal(RecordType::kAlert, &message, sizeof text, record)) return;
    if (waiting_.empty()) {
      (void)send(record, sizeof record, false);
    } else {
      waiting_.append(record, sizeof record);
    }
  }

  // What is left of `in`. An idle connection holds no buffer.
  void keep(std::string_view in, size_t used) {
    if (used == in.size()) {
      if (!rest_.empty()) std::string().swap(rest_);
    } else if (in.data() == rest_.data()) {
      rest_.erase(0, used);
    } else {
      rest_.assign(in.substr(used));
    }
  }
  ssize_t refuse() {
    if (reader_.alert()) say(*reader_.alert(), kFatal);
    return fail(reader_.error());
  }
  ssize_t fail(std::string why) {
    failed_ = true;
    error_ = std::move(why);
    return kFailed;
  }

  RecordReader reader_;
  RecordCipher key_;
  std::string rest_;        // of the peer's, not yet a whole record
  std::string waiting_;     // sealed, and not yet taken by the kernel
  size_t sealed_text_ = 0;  // how much text of it the caller has not been told is written
  bool failed_ = false, said_last_ = false;
};

}  // namespace

TransportPtr sealed_transport(std::shared_ptr<Fd> fd, TrafficSecret theirs, TrafficSecret ours) {
  return std::make_shared<SealedTransport>(std::move(fd), std::move(theirs), std::move(ours));
}

}  // namespace keles::net
