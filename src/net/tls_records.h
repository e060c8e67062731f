// Internal to net/: TLS 1.3's protection of records (RFC 8446, section 5) with AES-GCM, for
// connections whose handshake OpenSSL has made.
//
// OpenSSL copies what it writes, takes a system call for each record, and spends twice as much on
// a short record as its encryption costs. Here records are sealed from where their text lies into
// one buffer for many, and opened into the reader's own. Of the messages that may follow a
// handshake only KeyUpdate is known: tickets are not for servers, and a later certificate is never
// asked for.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

struct evp_cipher_ctx_st;  // OpenSSL's EVP_CIPHER_CTX

namespace keles::net {

inline constexpr size_t kRecordText = 16384;  // of one record, at most
inline constexpr size_t kRecordHead = 5;
inline constexpr size_t kRecordMore = kRecordHead + 1 + 16;  // of a sealed one beyond its text
inline constexpr size_t kLongestRecord = kRecordHead + 16384 + 256;  // that a peer may send

enum class RecordType : uint8_t { kAlert = 21, kHandshake = 22, kData = 23 };

// AlertDescription (RFC 8446, section 6).
enum class TlsAlert : uint8_t {
  kCloseNotify = 0,
  kUnexpectedMessage = 10,
  kBadRecordMac = 20,
  kRecordOverflow = 22,
  kIllegalParameter = 47,
  kDecodeError = 50,
  kInternalError = 80,
  kUserCanceled = 90,
};

// What a handshake agreed for one direction: the traffic secret (as long as the suite's hash: 32
// bytes SHA-256 and AES-128, 48 bytes SHA-384 and AES-256).
struct TrafficSecret {
  TrafficSecret() = default;
  explicit TrafficSecret(std::string_view s) : bytes(s) {}
  ~TrafficSecret();  // wiped
  TrafficSecret(TrafficSecret&&) = default;
  TrafficSecret& operator=(TrafficSecret&&) = default;
  std::string bytes;
};

// A place in a list of pieces, and what is left from there.
struct Pieces {
  const iovec* part = nullptr;
  int count = 0;
  size_t offset = 0;  // into the first
  size_t left() const;
  void skip(size_t n);
};

// One direction's key, its nonces and its successors.
class RecordCipher {
 public:
  // `seals`: for writing, else for reading.
  RecordCipher(TrafficSecret secret, bool seals);
  // A key of unknown length, or OpenSSL would not: nothing can be done with it.
  bool broken() const { return !ctx_; }
  // So many records that the key is to be changed (RFC 8446, section 5.5).
  bool worn() const { return sequence_ >= (uint64_t{1} << 24); }
  void next();  // the key that follows (section 7.2)

  // Writes a record with the next `n` <= kRecordText bytes of `from`, n + kRecordMore of them.
  [[nodiscard]] bool seal(RecordType type, Pieces* from, size_t n, char* to);
  // Opens a whole record (its head included) into `to`, which has room for record.size() -
  // kRecordHead - 16 bytes. The length of the text without padding, and its type; none if forged.
  struct Opened {
    size_t size;
    uint8_t type;  // 0: it has none
  };
  std::optional<Opened> open(std::string_view record, char* to);

 private:
  struct Delete {
    void operator()(evp_cipher_ctx_st* c) const;
  };
  void use_secret();
  void take_nonce(unsigned char* nonce);
  TrafficSecret secret_;
  bool seals_;
  std::unique_ptr<evp_cipher_ctx_st, Delete> ctx_;
  unsigned char iv_[12] = {};
  uint64_t sequence_ = 0;
};

// What a peer's records say. After a failure or the end it takes nothing more.
class RecordReader {
 public:
  explicit RecordReader(TrafficSecret secret) : key_(std::move(secret), false) {}

  // Opens whole records at the front of `in` as long as their text fits into `to`; `*used` is how
  // much of `in` is done with. Of a record that is larger than `to` the rest is kept.
  size_t take(std::string_view in, char* to, size_t room, size_t* used);
  // Whether take() has something to say without more of the peer's bytes than `in`.
  bool ready(std::string_view in) const;

  bool ended() const { return ended_; }  // by close_notify
  bool failed() const { return !error_.empty(); }
  const std::string& error() const { return error_; }
  // What the peer is to be told of the failure; none when it was the peer who said so.
  std::optional<TlsAlert> alert() const { return alert_; }
  // Whether the peer has asked for a new key of ours since the last call.
  bool take_update_wish() { return std::exchange(update_wish_, false); }

 private:
  size_t take_kept(char* to, size_t room);
  void fail(TlsAlert alert, std::string why);
  // Of a record that is not data.
  void control(uint8_t type, std::string_view text);
  void take_alert(std::string_view text);
  void take_handshake(std::string_view text);

  RecordCipher key_;
  std::string kept_;  // of a record that was larger than the room for it
  size_t kept_at_ = 0;
  std::string message_;   // a handshake message that has not come whole
  int without_data_ = 0;  // records in a row
  bool ended_ = false, update_wish_ = false;
  std::string error_;
  std::optional<TlsAlert> alert_;
};

// A KeyUpdate that asks for nothing (section 4.6.3).
inline constexpr std::string_view kKeyUpdate("\x18\x00\x00\x01\x00", 5);

}  // namespace keles::net
