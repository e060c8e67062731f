#include "bench/wire_load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

namespace keles::bench {
namespace {

[[noreturn]] void give_up(const std::string& why) {
  fprintf(stderr, "bench: %s\n", why.c_str());
  exit(1);
}

constexpr uint8_t kData = 0, kHeaders = 1, kReset = 3, kSettings = 4, kPing = 6, kGoAway = 7,
                  kWindowUpdate = 8, kContinuation = 9;
constexpr uint8_t kEndStream = 1, kEndHeaders = 4, kAck = 1;
constexpr uint32_t kWindow = 0x7fffffff;
constexpr size_t kMaxFrame = 16384;

void put_int(std::string& out, uint32_t v, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<char>(v >> (8 * i)));
}
void put_head(std::string& out, size_t length, uint8_t type, uint8_t flags, uint32_t stream) {
  put_int(out, static_cast<uint32_t>(length), 3);
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  put_int(out, stream, 4);
}
uint32_t get_int(const unsigned char* at, int bytes) {
  uint32_t v = 0;
  for (int i = 0; i < bytes; ++i) v = v << 8 | at[i];
  return v;
}

// HPACK (RFC 7541, 6.2.2): a literal that is not indexed, its name from the static table.
void literal(std::string& out, unsigned name, std::string_view value) {
  if (name < 15) {
    out.push_back(static_cast<char>(name));
  } else {
    out.push_back(0x0f);
    out.push_back(static_cast<char>(name - 15));
  }
  if (value.size() < 127) {
    out.push_back(static_cast<char>(value.size()));
  } else {
    out.push_back(0x7f);
    size_t rest = value.size() - 127;
    for (; rest >= 128; rest >>= 7) out.push_back(static_cast<char>(rest % 128 + 128));
    out.push_back(static_cast<char>(rest));
  }
  out.append(value);
}

std::string header_block(const WireRequest& r, std::string_view authority) {
  constexpr unsigned kAuthority = 1, kMethod = 2, kPath = 4, kAccept = 19, kAuthorization = 23,
                     kContentType = 31;
  std::string block;
  if (r.method == "GET") {
    block.push_back(static_cast<char>(0x82));
  } else if (r.method == "POST") {
    block.push_back(static_cast<char>(0x83));
  } else {
    literal(block, kMethod, r.method);
  }
  block.push_back(static_cast<char>(0x87));  // :scheme https
  literal(block, kPath, r.path);
  literal(block, kAuthority, authority);
  literal(block, kAccept, r.accept);
  if (!r.authorization.empty()) literal(block, kAuthorization, r.authorization);
  if (!r.body.empty()) literal(block, kContentType, r.content_type);
  return block;
}

void show(SSL* ssl, const net::TlsIdentity& identity) {
  BIO* bio = BIO_new_mem_buf(identity.certificate_pem.data(),
                             static_cast<int>(identity.certificate_pem.size()));
  X509* cert = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  bio = BIO_new_mem_buf(identity.key_pem.data(), static_cast<int>(identity.key_pem.size()));
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  if (cert == nullptr || key == nullptr) give_up("no client certificate");
  SSL_use_certificate(ssl, cert);
  SSL_use_PrivateKey(ssl, key);
  X509_free(cert);
  EVP_PKEY_free(key);
}

// The process that is measured has made the certificates itself: there is nothing to verify.
SSL_CTX* client_context() {
  SSL_CTX* ctx = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_alpn_protos(ctx, reinterpret_cast<const unsigned char*>("\x02h2"), 3);
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(ctx, 1);
  return ctx;
}

}  // namespace

class WireConnection {
 public:
  WireConnection(const ClientConfig& config, SSL_CTX* ctx, const net::TlsIdentity* identity)
      : authority_(config.endpoint.host + ":" + std::to_string(config.endpoint.port)) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(config.endpoint.port);
    inet_pton(AF_INET, config.endpoint.host.c_str(), &to.sin_addr);
    if (connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0)
      give_up(std::string("connect: ") + strerror(errno));
    int one = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    ssl_ = SSL_new(ctx);
    SSL_set_fd(ssl_, fd_);
    if (identity != nullptr) show(ssl_, *identity);
    if (SSL_connect(ssl_) != 1) give_up("TLS handshake failed");
    fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK);
    nghttp2_hd_inflate_new(&inflater_);
    out_ = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    put_head(out_, 6, kSettings, 0, 0);
    put_int(out_, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 2);
    put_int(out_, kWindow, 4);
    put_head(out_, 4, kWindowUpdate, 0, 0);
    put_int(out_, kWindow - 65535, 4);
    flush();
  }
  ~WireConnection() {
    nghttp2_hd_inflate_del(inflater_);
    SSL_free(ssl_);
    close(fd_);
  }
  WireConnection(const WireConnection&) = delete;

  int fd() const { return fd_; }

  void send(const WireRequest& r) {
    answer_ = WireAnswer();
    ended_ = false;
    stream_ = begin(r);
  }

  // Beside the one above.
  void ask(const WireRequest& r, std::function<void(const WireAnswer&)> done,
           std::function<void(std::string_view)> line) {
    beside_.push_back({begin(r), {}, {}, std::move(done), std::move(line)});
  }

  // Takes in what has come. True when the answer to the last request is whole.
  bool receive() {
    static char buffer[65536];
    for (;;) {
      int n = SSL_read(ssl_, buffer, sizeof buffer);
      if (n <= 0) {
        if (SSL_get_error(ssl_, n) == SSL_ERROR_WANT_READ) break;
        give_up("the server closed a connection");
      }
      in_.append(buffer, static_cast<size_t>(n));
      if (SSL_has_pending(ssl_) == 0) break;
    }
    size_t at = 0;
    while (in_.size() - at >= 9) {
      const auto* head = reinterpret_cast<const unsigned char*>(in_.data() + at);
      size_t length = get_int(head, 3);
      if (in_.size() - at < 9 + length) break;
      frame(head[3], head[4], get_int(head + 5, 4), {in_.data() + at + 9, length});
      at += 9 + length;
    }
    in_.erase(0, at);
    if (!out_.empty()) flush();
    return std::exchange(ended_, false);
  }

  const WireAnswer& answer() const { return answer_; }
  long lines() const { return lines_; }

 private:
  struct Beside {
    uint32_t stream = 0;
    WireAnswer answer;
    std::string rest;  // of a line
    std::function<void(const WireAnswer&)> done;
    std::function<void(std::string_view)> line;
  };

  uint32_t begin(const WireRequest& r) {
    last_ += last_ == 0 ? 1 : 2;
    std::string block = header_block(r, authority_);
    put_head(out_, block.size(), kHeaders, kEndHeaders | (r.body.empty() ? kEndStream : 0), last_);
    out_ += block;
    for (size_t at = 0; at < r.body.size(); at += kMaxFrame) {
      size_t n = std::min(kMaxFrame, r.body.size() - at);
      put_head(out_, n, kData, at + n == r.body.size() ? kEndStream : 0, last_);
      out_.append(r.body, at, n);
    }
    flush();
    return last_;
  }

  // beside_.size(): it is none of them.
  size_t find_beside(uint32_t stream) const {
    size_t i = 0;
    while (i < beside_.size() && beside_[i].stream != stream) ++i;
    return i;
  }

  void data(uint32_t stream, std::string_view payload) {
    const size_t i = find_beside(stream);
    WireAnswer& answer = i < beside_.size() ? beside_[i].answer : answer_;
    answer.bytes += payload.size();
    if (answer.text.size() < 300) answer.text.append(payload.substr(0, 300));
    if (i == beside_.size()) {
      lines_ += std::count(payload.begin(), payload.end(), '\n');
    } else if (beside_[i].line) {
      // Who hears a line may ask for more, and move the streams.
      auto line = beside_[i].line;
      std::string text = std::move(beside_[i].rest);
      text += payload;
      size_t from = 0;
      for (size_t end; (end = text.find('\n', from)) != std::string::npos; from = end + 1)
        line(std::string_view(text).substr(from, end - from));
      beside_[find_beside(stream)].rest = text.substr(from);
    }
  }

  void ended(uint32_t stream) {
    const size_t i = find_beside(stream);
    if (i == beside_.size()) {
      ended_ = ended_ || stream == stream_;
      return;
    }
    Beside over = std::move(beside_[i]);
    beside_[i] = std::move(beside_.back());
    beside_.pop_back();
    if (over.line && over.answer.status != 429) give_up("a watch has ended: " + over.answer.text);
    over.done(over.answer);
  }

  void frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
    switch (type) {
      case kHeaders:
      case kContinuation:
        headers(stream, payload, (flags & kEndHeaders) != 0);
        break;
      case kData:
        data(stream, payload);
        credit_ += payload.size();
        if (credit_ > kWindow / 2) {
          put_head(out_, 4, kWindowUpdate, 0, 0);
          put_int(out_, static_cast<uint32_t>(std::exchange(credit_, 0)), 4);
        }
        break;
      case kSettings:
        if (flags & kAck) return;
        put_head(out_, 0, kSettings, kAck, 0);
        return;
      case kPing:
        if (flags & kAck) return;
        put_head(out_, payload.size(), kPing, kAck, 0);
        out_ += payload;
        return;
      case kReset:
        give_up("the server reset a stream");
      case kGoAway:
        give_up("the server sends connections away");
      default:
        return;
    }
    if (type != kContinuation && (flags & kEndStream)) ended(stream);
  }

  void headers(uint32_t stream, std::string_view block, bool last) {
    const size_t beside = find_beside(stream);
    WireAnswer& answer = beside < beside_.size() ? beside_[beside].answer : answer_;
    const auto* in = reinterpret_cast<const uint8_t*>(block.data());
    size_t left = block.size();
    for (;;) {
      nghttp2_nv nv;
      int flags = 0;
      ssize_t n = nghttp2_hd_inflate_hd2(inflater_, &nv, &flags, in, left, last);
      if (n < 0) give_up("headers cannot be read");
      in += n;
      left -= static_cast<size_t>(n);
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) && nv.namelen == 7 &&
          memcmp(nv.name, ":status", 7) == 0)
        answer.status = atoi(reinterpret_cast<const char*>(nv.value));
      if (flags & NGHTTP2_HD_INFLATE_FINAL) {
        nghttp2_hd_inflate_end_headers(inflater_);
        break;
      }
      if (left == 0) break;
    }
  }

  // Requests are small: a socket that takes nothing for now is an exception, and waited for.
  void flush() {
    size_t at = 0;
    while (at < out_.size()) {
      int n = SSL_write(ssl_, out_.data() + at, static_cast<int>(out_.size() - at));
      if (n > 0) {
        at += static_cast<size_t>(n);
      } else if (SSL_get_error(ssl_, n) == SSL_ERROR_WANT_WRITE) {
        usleep(100);
      } else {
        give_up("the server closed a connection");
      }
    }
    out_.clear();
  }

  std::string authority_;
  int fd_ = -1;
  SSL* ssl_ = nullptr;
  nghttp2_hd_inflater* inflater_ = nullptr;
  std::string in_, out_;
  uint32_t last_ = 0, stream_ = 0;
  std::vector<Beside> beside_;
  size_t credit_ = 0;
  WireAnswer answer_;
  bool ended_ = false;
  long lines_ = 0;
};

WireLoad::WireLoad(const BenchServer& server, int connections, bool as_administrator)
    : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  const net::ClientTls& tls = server.config().endpoint.tls.value();
  SSL_CTX* ctx = client_context();
  for (int i = 0; i < connections; ++i)
    add(std::make_unique<WireConnection>(
        server.config(), ctx, as_administrator && tls.identity ? &*tls.identity : nullptr));
  SSL_CTX_free(ctx);
}

WireLoad::WireLoad(const BenchServer& server, const std::vector<net::TlsIdentity>& identities)
    : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  SSL_CTX* ctx = client_context();
  for (const net::TlsIdentity& identity : identities)
    add(std::make_unique<WireConnection>(server.config(), ctx, &identity));
  SSL_CTX_free(ctx);
}

void WireLoad::add(std::unique_ptr<WireConnection> connection) {
  epoll_event e{};
  e.events = EPOLLIN;
  e.data.u32 = static_cast<uint32_t>(connections_.size());
  epoll_ctl(epoll_, EPOLL_CTL_ADD, connection->fd(), &e);
  connections_.push_back(std::move(connection));
}

WireLoad::~WireLoad() { close(epoll_); }

void WireLoad::poll(int milliseconds) {
  epoll_event events[64];
  int n = epoll_wait(epoll_, events, 64, milliseconds);
  for (int k = 0; k < n; ++k) {
    int i = static_cast<int>(events[k].data.u32);
    WireConnection& c = *connections_[static_cast<size_t>(i)];
    if (!c.receive() || done_ == nullptr) continue;
    (*done_)(i, c.answer());
    WireRequest r = (*next_)(i);
    if (r.method.empty()) {
      --busy_;
    } else {
      c.send(r);
    }
  }
}

void WireLoad::run(const std::function<WireRequest(int)>& next,
                   const std::function<void(int, const WireAnswer&)>& done) {
  next_ = &next;
  done_ = &done;
  for (size_t i = 0; i < connections_.size(); ++i) {
    WireRequest r = next(static_cast<int>(i));
    if (r.method.empty()) continue;
    connections_[i]->send(r);
    ++busy_;
  }
  while (busy_ > 0) poll(1'000);
  next_ = nullptr;
  done_ = nullptr;
}

void WireLoad::start(int connection, const WireRequest& r) {
  connections_[static_cast<size_t>(connection)]->send(r);
}

void WireLoad::ask(int connection, const WireRequest& r,
                   std::function<void(const WireAnswer&)> done) {
  connections_[static_cast<size_t>(connection)]->ask(r, std::move(done), nullptr);
}

void WireLoad::watch(int connection, const WireRequest& r,
                     std::function<void(std::string_view)> line, std::function<void()> refused) {
  connections_[static_cast<size_t>(connection)]->ask(
      r, [refused = std::move(refused)](const WireAnswer&) { refused(); }, std::move(line));
}

long WireLoad::lines(int milliseconds) {
  poll(milliseconds);
  long n = 0;
  for (auto& c : connections_) n += c->lines();
  return n;
}

WireRequest request(std::string_view method, std::string path, std::string body) {
  WireRequest r;
  r.method = method;
  r.path = std::move(path);
  r.body = std::move(body);
  return r;
}

void run_all(WireLoad* load, long n, const std::function<WireRequest(long)>& make,
             const std::function<void()>& each) {
  long at = 0, failed = 0;
  std::string first;
  load->run([&](int) { return at < n ? make(at++) : WireRequest(); },
            [&](int, const WireAnswer& a) {
              if (a.status >= 300 && failed++ == 0) first = std::to_string(a.status) + " " + a.text;
              each();
            });
  if (failed > 0) printf("  %ld failed, first: %s\n", failed, first.c_str());
}

}  // namespace keles::bench
