#include "net/tls_records.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include <algorithm>
#include <utility>

namespace keles::net {
namespace {

constexpr size_t kTag = 16;
// As OpenSSL: who sends nothing but empty records, warnings and new keys is cut off.
constexpr int kMaxWithoutData = 32;

// HKDF-Expand-Label with an empty context (RFC 8446, section 7.1), of at most a hash's length: one
// round of HKDF-Expand.
bool expand_label(const std::string& secret, std::string_view label, unsigned char* out,
                  size_t length) {
  std::string info;
  info.push_back(static_cast<char>(length >> 8));
  info.push_back(static_cast<char>(length & 0xff));
  info.push_back(static_cast<char>(6 + label.size()));
  info.append("tls13 ").append(label);
  info.push_back('\0');
  info.push_back('\1');  // the round
  const EVP_MD* hash = secret.size() == 48 ? EVP_sha384() : EVP_sha256();
  unsigned char whole[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  const bool made = HMAC(hash, secret.data(), static_cast<int>(secret.size()),
                         reinterpret_cast<const unsigned char*>(info.data()), info.size(), whole,
                         &size) != nullptr &&
                    size >= length;
  if (made) memcpy(out, whole, length);
  OPENSSL_cleanse(whole, sizeof whole);
  return made;
}

const unsigned char* bytes(const char* p) { return reinterpret_cast<const unsigned char*>(p); }
unsigned char* bytes(char* p) { return reinterpret_cast<unsigned char*>(p); }

// The length that a record's head says.
size_t said_length(std::string_view head) {
  return static_cast<size_t>(bytes(head.data())[3]) << 8 | bytes(head.data())[4];
}

struct Refusal {
  TlsAlert alert;
  const char* why;
};
// Of a record by its head alone.
std::optional<Refusal> refusal(std::string_view head) {
  if (static_cast<RecordType>(head[0]) != RecordType::kData) {
    return Refusal{TlsAlert::kUnexpectedMessage, "unexpected message"};
  }
  const size_t length = said_length(head);
  if (length > kLongestRecord - kRecordHead) {
    return Refusal{TlsAlert::kRecordOverflow, "a record is too long"};
  }
  if (length < 1 + kTag) return Refusal{TlsAlert::kBadRecordMac, "a record is too short"};
  return std::nullopt;
}

}  // namespace

TrafficSecret::~TrafficSecret() { OPENSSL_cleanse(bytes.data(), bytes.size()); }

size_t Pieces::left() const {
  size_t n = 0;
  for (int i = 0; i < count; ++i) n += part[i].iov_len;
  return n - offset;
}

void Pieces::skip(size_t n) {
  while (count > 0 && n >= part->iov_len - offset) {
    n -= part->iov_len - offset;
    ++part;
    --count;
    offset = 0;
  }
  if (count > 0) offset += n;
}

void RecordCipher::Delete::operator()(evp_cipher_ctx_st* c) const { EVP_CIPHER_CTX_free(c); }

RecordCipher::RecordCipher(TrafficSecret secret, bool seals)
    : secret_(std::move(secret)), seals_(seals) {
  use_secret();
}

void RecordCipher::use_secret() {
  sequence_ = 0;
  const size_t size = secret_.bytes.size();
  if (size != 32 && size != 48) return;
  if (!ctx_) ctx_.reset(EVP_CIPHER_CTX_new());
  const EVP_CIPHER* cipher = size == 32 ? EVP_aes_128_gcm() : EVP_aes_256_gcm();
  unsigned char key[32];
  const bool made =
      ctx_ && expand_label(secret_.bytes, "key", key, size == 32 ? 16 : 32) &&
      expand_label(secret_.bytes, "iv", iv_, sizeof iv_) &&
      EVP_CipherInit_ex(ctx_.get(), cipher, nullptr, key, nullptr, seals_ ? 1 : 0) == 1;
  OPENSSL_cleanse(key, sizeof key);
  if (!made) ctx_.reset();
}

void RecordCipher::next() {
  unsigned char fresh[48];
  const size_t size = secret_.bytes.size();
  if (size > sizeof fresh || !expand_label(secret_.bytes, "traffic upd", fresh, size)) {
    ctx_.reset();
    return;
  }
  memcpy(secret_.bytes.data(), fresh, size);
  OPENSSL_cleanse(fresh, sizeof fresh);
  use_secret();
}

// The record's number laid over the static part (section 5.3).
void RecordCipher::take_nonce(unsigned char* nonce) {
  memcpy(nonce, iv_, sizeof iv_);
  for (int i = 0; i < 8; ++i) {
    nonce[11 - i] ^= static_cast<unsigned char>(sequence_ >> (8 * i));
  }
  ++sequence_;
}

bool RecordCipher::seal(RecordType type, Pieces* from, size_t n, char* to) {
  if (!ctx_ || !seals_) return false;
  const size_t length = n + 1 + kTag;
  const unsigned char head[kRecordHead] = {static_cast<unsigned char>(RecordType::kData), 3, 3,
                                           static_cast<unsigned char>(length >> 8),
                                           static_cast<unsigned char>(length & 0xff)};
  memcpy(to, head, sizeof head);
  unsigned char nonce[12];
  take_nonce(nonce);
  int put = 0;
  EVP_CIPHER_CTX* c = ctx_.get();
  if (EVP_EncryptInit_ex(c, nullptr, nullptr, nullptr, nonce) != 1 ||
      EVP_EncryptUpdate(c, nullptr, &put, head, sizeof head) != 1) {
    return false;
  }
  unsigned char* out = bytes(to) + kRecordHead;
  while (n > 0 && from->count > 0) {
    const size_t k = std::min(n, from->part->iov_len - from->offset);
    const auto* text = static_cast<const unsigned char*>(from->part->iov_base) + from->offset;
    if (k > 0 && EVP_EncryptUpdate(c, out, &put, text, static_cast<int>(k)) != 1) return false;
    from->skip(k);
    out += k;
    n -= k;
  }
  if (n > 0) return false;
  const auto kind = static_cast<unsigned char>(type);
  return EVP_EncryptUpdate(c, out, &put, &kind, 1) == 1 &&
         EVP_EncryptFinal_ex(c, out + 1, &put) == 1 &&
         EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, kTag, out + 1) == 1;
}

std::optional<RecordCipher::Opened> RecordCipher::open(std::string_view record, char* to) {
  if (!ctx_ || seals_ || record.size() < kRecordHead + 1 + kTag) return std::nullopt;
  const size_t size = record.size() - kRecordHead - kTag;
  unsigned char nonce[12], tag[kTag];
  take_nonce(nonce);
  memcpy(tag, record.data() + kRecordHead + size, kTag);
  int put = 0;
  EVP_CIPHER_CTX* c = ctx_.get();
  const bool genuine =
      EVP_DecryptInit_ex(c, nullptr, nullptr, nullptr, nonce) == 1 &&
      EVP_DecryptUpdate(c, nullptr, &put, bytes(record.data()), kRecordHead) == 1 &&
      EVP_DecryptUpdate(c, bytes(to), &put, bytes(record.data() + kRecordHead),
                        static_cast<int>(size)) == 1 &&
      EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, kTag, tag) == 1 &&
      EVP_DecryptFinal_ex(c, bytes(to) + size, &put) == 1;
  if (!genuine) {
    memset(to, 0, size);  // nobody is to read what was not said
    ERR_clear_error();
    return std::nullopt;
  }
  // Its type is the last byte that is not padding.
  size_t end = size;
  while (end > 0 && to[end - 1] == '\0') --end;
  if (end == 0) return Opened{0, 0};
  return Opened{end - 1, static_cast<uint8_t>(to[end - 1])};
}

void RecordReader::fail(TlsAlert alert, std::string why) {
  error_ = std::move(why);
  alert_ = alert;
}

bool RecordReader::ready(std::string_view in) const {
  if (ended_ || failed() || kept_at_ < kept_.size()) return true;
  if (in.size() < kRecordHead) return false;
  return in.size() >= kRecordHead + said_length(in) || refusal(in);
}

size_t RecordReader::take_kept(char* to, size_t room) {
  const size_t n = std::min(room, kept_.size() - kept_at_);
  memcpy(to, kept_.data() + kept_at_, n);
  kept_at_ += n;
  if (kept_at_ == kept_.size()) {
    std::string().swap(kept_);
    kept_at_ = 0;
  }
  return n;
}

size_t RecordReader::take(std::string_view in, char* to, size_t room, size_t* used) {
  *used = 0;
  size_t got = take_kept(to, room);
  while (kept_.empty() && !ended_ && !failed() && in.size() - *used >= kRecordHead) {
    std::string_view record = in.substr(*used);
    const size_t length = said_length(record);
    if (auto no = refusal(record)) fail(no->alert, no->why);
    if (failed() || record.size() < kRecordHead + length) break;
    const size_t size = length - kTag;
    const bool fits = size <= room - got;
    if (!fits && got > 0) break;
    if (!fits) kept_.resize(size);
    char* text = fits ? to + got : kept_.data();
    auto opened = key_.open(record.substr(0, kRecordHead + length), text);
    *used += kRecordHead + length;
    kept_.resize(fits || !opened ? 0 : opened->size);
    if (!opened) {
      fail(TlsAlert::kBadRecordMac, "a record was forged or damaged");
    } else if (size > kRecordText + 1) {
      fail(TlsAlert::kRecordOverflow, "a record is too long");
    } else if (opened->type != static_cast<uint8_t>(RecordType::kData)) {
      control(opened->type, {text, opened->size});
    } else if (!message_.empty()) {
      fail(TlsAlert::kUnexpectedMessage, "data within a handshake message");
    } else if (opened->size > 0) {
      without_data_ = 0;
      got += fits ? opened->size : take_kept(to, room);
      continue;
    }
    std::string().swap(kept_);
    if (++without_data_ > kMaxWithoutData && !ended_ && !failed()) {
      fail(TlsAlert::kUnexpectedMessage, "too many records without data");
    }
  }
  return got;
}

void RecordReader::control(uint8_t type, std::string_view text) {
  if (type == static_cast<uint8_t>(RecordType::kHandshake)) return take_handshake(text);
  if (type == static_cast<uint8_t>(RecordType::kAlert)) return take_alert(text);
  fail(TlsAlert::kUnexpectedMessage, "a record of unknown type");
}

void RecordReader::take_alert(std::string_view text) {
  if (text.size() != 2 || !message_.empty()) return fail(TlsAlert::kDecodeError, "a broken alert");
  const auto what = static_cast<TlsAlert>(text[1]);
  if (what == TlsAlert::kUserCanceled) return;  // close_notify follows
  if (what == TlsAlert::kCloseNotify) {
    ended_ = true;
    return;
  }
  error_ = "the peer's alert " + std::to_string(static_cast<int>(what));
}

void RecordReader::take_handshake(std::string_view text) {
  if (text.empty()) return fail(TlsAlert::kUnexpectedMessage, "an empty handshake message");
  message_.append(text.substr(0, kKeyUpdate.size() + 1));
  const size_t known = std::min<size_t>(message_.size(), 4);
  if (message_.compare(0, known, kKeyUpdate.substr(0, known)) != 0) {
    return fail(TlsAlert::kUnexpectedMessage, "unexpected handshake message");
  }
  if (message_.size() < kKeyUpdate.size()) return;
  // A key changes between records.
  if (message_.size() > kKeyUpdate.size()) {
    return fail(TlsAlert::kUnexpectedMessage, "a handshake message after a new key");
  }
  const auto wish = static_cast<unsigned char>(message_[4]);
  message_.clear();
  if (wish > 1) return fail(TlsAlert::kIllegalParameter, "a broken KeyUpdate");
  key_.next();
  if (key_.broken()) return fail(TlsAlert::kInternalError, "no new key");
  if (wish == 1) update_wish_ = true;
}

}  // namespace keles::net
