#include "net/tls_records.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/context.h"
#include "base/encoding.h"
#include "base/loop.h"
#include "base/run_task.h"
#include "base/task.h"
#include "net/http.h"
#include "net/outgoing.h"
#include "net/pki.h"

namespace keles::net {
namespace {

std::string from_hex(std::string_view digits) {
  std::string out;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    out.push_back(static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16)));
  }
  return out;
}

TrafficSecret secret(char of, size_t size = 32) { return TrafficSecret(std::string(size, of)); }

std::string sealed(RecordCipher& key, std::string_view text, RecordType type = RecordType::kData) {
  iovec v{const_cast<char*>(text.data()), text.size()};
  Pieces from{&v, 1};
  std::string out(text.size() + kRecordMore, '\0');
  EXPECT_TRUE(key.seal(type, &from, text.size(), out.data()));
  return out;
}
std::string all_of(RecordReader& reader, std::string_view in, size_t room) {
  std::string out, to(room, '\0');
  while (reader.ready(in)) {
    size_t used = 0;
    const size_t n = reader.take(in, to.data(), room, &used);
    out.append(to, 0, n);
    in.remove_prefix(used);
    if (n == 0 && used == 0) break;
  }
  return out;
}

// RFC 8448, section 3: the client's first record of data, 00 01 .. 31.
TEST(TlsRecords, AsTheRfcShows) {
  const std::string key =
      from_hex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5");
  const std::string record = from_hex(
      "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a2044"
      "1e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4");
  std::string text;
  for (int i = 0; i < 50; ++i) text.push_back(static_cast<char>(i));
  RecordCipher writer(TrafficSecret(key), true);
  EXPECT_EQ(hex(sealed(writer, text)), hex(record));
  RecordReader reader{TrafficSecret(key)};
  EXPECT_EQ(all_of(reader, record, 100), text);
}

TEST(TlsRecords, PiecesAndRooms) {
  for (size_t size : {32, 48}) {
    RecordCipher writer(secret('k', size), true);
    RecordReader small(secret('k', size)), large(secret('k', size));
    std::string text, wire;
    for (size_t n : {1, 15, 16, 17, 300, 5000, 16384}) {
      std::string part(n, static_cast<char>('a' + n % 26));
      // In pieces of which some are empty.
      iovec v[] = {{part.data(), n / 3},
                   {part.data(), 0},
                   {part.data() + n / 3, n / 2 - n / 3},
                   {part.data() + n / 2, n - n / 2}};
      Pieces from{v, 4};
      std::string record(n + kRecordMore, '\0');
      ASSERT_TRUE(writer.seal(RecordType::kData, &from, n, record.data()));
      EXPECT_EQ(from.count, 0);
      wire += record;
      text += part;
    }
    EXPECT_EQ(all_of(small, wire, 7), text);
    EXPECT_EQ(all_of(large, wire, 65536), text);
  }
}

TEST(TlsRecords, ForgedRecordsAreTold) {
  RecordCipher writer(secret('k'), true);
  const std::string good = sealed(writer, "some text"), next = sealed(writer, "more");
  for (size_t i = 0; i < good.size(); ++i) {
    if (i == 1 || i == 2) continue;  // a version that means nothing; it is sealed all the same
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    RecordReader reader(secret('k'));
    EXPECT_EQ(all_of(reader, bad + next, 100), "") << i;
    EXPECT_TRUE(reader.failed() || (i == 3 || i == 4)) << i;
  }
  RecordReader twice(secret('k')), swapped(secret('k'));
  EXPECT_EQ(all_of(twice, good + good, 100), "some text");
  EXPECT_EQ(twice.alert(), TlsAlert::kBadRecordMac);
  EXPECT_EQ(all_of(swapped, next + good, 100), "");
  EXPECT_EQ(swapped.alert(), TlsAlert::kBadRecordMac);
}

TEST(TlsRecords, WhatIsNotData) {
  struct Case {
    RecordType type;
    std::string text;
    std::optional<TlsAlert> alert;
    bool failed, ended;
  };
  const auto handshake = RecordType::kHandshake, alert = RecordType::kAlert;
  const std::vector<Case> cases = {
      {alert, std::string("\1\0", 2), {}, false, true},
      {alert, "\2\x14", {}, true, false},
      {alert, "\1\x5a", {}, false, false},  // user_canceled
      {alert, "\1", TlsAlert::kDecodeError, true, false},
      {alert, "", TlsAlert::kDecodeError, true, false},
      {handshake, "", TlsAlert::kUnexpectedMessage, true, false},
      {handshake, "\1", TlsAlert::kUnexpectedMessage, true, false},  // another ClientHello
      {handshake, std::string("\x18\0\0\2\0", 5), TlsAlert::kUnexpectedMessage, true, false},
      {handshake, std::string("\x18\0\0\1\2", 5), TlsAlert::kIllegalParameter, true, false},
      {handshake, std::string("\x18\0\0\1\0\x18", 6), TlsAlert::kUnexpectedMessage, true, false},
      {handshake, std::string("\x18\0", 2), {}, false, false},
      {static_cast<RecordType>(20), "\1", TlsAlert::kUnexpectedMessage, true, false},
      {static_cast<RecordType>(0), "", TlsAlert::kUnexpectedMessage, true, false},
  };
  for (const Case& c : cases) {
    for (size_t room : {1, 100}) {
      RecordCipher writer(secret('k'), true);
      RecordReader reader(secret('k'));
      EXPECT_EQ(all_of(reader, sealed(writer, c.text, c.type), room), "");
      EXPECT_EQ(reader.failed(), c.failed) << hex(c.text);
      EXPECT_EQ(reader.ended(), c.ended) << hex(c.text);
      EXPECT_EQ(reader.alert(), c.alert) << hex(c.text);
    }
  }
  RecordCipher writer(secret('k'), true);
  RecordReader reader(secret('k')), plain(secret('k')), half(secret('k'));
  std::string empty;
  for (int i = 0; i < 40; ++i) empty += sealed(writer, "");
  EXPECT_EQ(all_of(reader, empty, 100), "");
  EXPECT_EQ(reader.alert(), TlsAlert::kUnexpectedMessage);
  EXPECT_EQ(all_of(plain, std::string("\x14\3\3\0\1\1", 6), 100), "");
  EXPECT_EQ(plain.alert(), TlsAlert::kUnexpectedMessage);
  RecordCipher other(secret('k'), true);
  std::string split = sealed(other, std::string("\x18\0", 2), handshake);
  split += sealed(other, "x");
  EXPECT_EQ(all_of(half, split, 100), "");
  EXPECT_EQ(half.alert(), TlsAlert::kUnexpectedMessage);
}

TEST(TlsRecords, KeysChange) {
  RecordCipher writer(secret('k', 48), true);
  RecordReader reader(secret('k', 48));
  std::string wire = sealed(writer, "before ");
  wire += sealed(writer, std::string("\x18\0\0\1", 4), RecordType::kHandshake);
  wire += sealed(writer, "\1", RecordType::kHandshake);  // one message in two records
  writer.next();
  wire += sealed(writer, "after");
  EXPECT_EQ(all_of(reader, wire, 100), "before after");
  EXPECT_TRUE(reader.take_update_wish());
  EXPECT_FALSE(reader.take_update_wish());
}

TEST(Outgoing, SmallAndLarge) {
  Outgoing out;
  std::string expected, got;
  auto large = std::make_shared<const std::string>(std::string(5000, 'L') + std::string(5000, 'M'));
  for (int i = 0; i < 300; ++i) {
    const std::string small = std::to_string(i) + ";" + std::string(i, 's');
    out.append(small);
    expected += small;
    if (i % 3 == 0) {
      out.append(large, 100, 6000);
      expected += large->substr(100, 6000);
    }
    // Less leaves than comes, until the end.
    iovec v[4];
    const int n = out.pieces(v, 4);
    size_t taken = 0;
    for (int k = 0; k < n && taken < 777; ++k) {
      const size_t part = std::min<size_t>(777 - taken, v[k].iov_len);
      got.append(static_cast<char*>(v[k].iov_base), part);
      taken += part;
    }
    out.sent(taken);
  }
  while (!out.empty()) {
    iovec v;
    ASSERT_EQ(out.pieces(&v, 1), 1);
    got.append(static_cast<char*>(v.iov_base), v.iov_len);
    out.sent(v.iov_len);
  }
  EXPECT_EQ(got, expected);
  EXPECT_EQ(out.bytes(), 0u);
}

// A server of ours and OpenSSL's client, which does what ours never does.
class Peer {
 public:
  Peer(uint16_t port, const char* suites) : ctx_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_ciphersuites(ctx_, suites);
    int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
    fd_ = fd;
    ssl = SSL_new(ctx_);
    SSL_set_fd(ssl, fd);
    EXPECT_EQ(SSL_connect(ssl), 1);
  }
  ~Peer() {
    SSL_free(ssl);
    SSL_CTX_free(ctx_);
    ::close(fd_);
  }
  void say(std::string_view text) {
    EXPECT_EQ(SSL_write(ssl, text.data(), static_cast<int>(text.size())),
              static_cast<int>(text.size()));
  }
  std::string hear(size_t n) {
    std::string out(n, '\0');
    size_t had = 0;
    while (had < n) {
      int got = SSL_read(ssl, out.data() + had, static_cast<int>(n - had));
      if (got <= 0) break;
      had += static_cast<size_t>(got);
    }
    out.resize(had);
    return out;
  }
  // An answer's body.
  std::string ask(size_t n) {
    say("GET /" + std::to_string(n) + " HTTP/1.1\r\nHost: x\r\n\r\n");
    std::string head;
    while (head.find("\r\n\r\n") == head.npos) {
      std::string one = hear(1);
      if (one.empty()) return "cut off";
      head += one;
    }
    return hear(n);
  }
  SSL* ssl = nullptr;

 private:
  SSL_CTX* ctx_;
  int fd_ = -1;
};

std::string letters(size_t n) {
  std::string out;
  for (size_t i = 0; i < n; ++i) out.push_back(static_cast<char>('a' + (i * 7 + i / 1000) % 26));
  return out;
}

Task<void> answer(Context, Request* q, Responder* r) {
  auto parts = as_body(letters(std::stoul(q->path.substr(1))));
  (void)co_await r->respond(200, Headers(), std::move(parts));
}

void talk(uint16_t port, const char* suites) {
  Peer peer(port, suites);
  EXPECT_EQ(peer.ask(10), letters(10)) << suites;
  EXPECT_EQ(peer.ask(3'000'000), letters(3'000'000)) << suites;
  for (int kind : {SSL_KEY_UPDATE_NOT_REQUESTED, SSL_KEY_UPDATE_REQUESTED}) {
    EXPECT_EQ(SSL_key_update(peer.ssl, kind), 1);
    EXPECT_EQ(peer.ask(200'000), letters(200'000)) << suites << kind;
  }
}

Task<bool> serve_them(Context ctx, Server* server) {
  const uint16_t port = server->port();
  auto talks = [port] {
    for (const char* suites :
         {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}) {
      talk(port, suites);
    }
    return true;
  };
  bool talked = co_await run_blocking(&ctx.loop(), talks);
  co_await server->stop(ctx);
  co_return talked;
}

TEST(SealedTransport, OpenSslsClient) {
  auto loop = make_real_loop();
  const WallTime now = loop->wall_now();
  CertificateSpec spec{.common_name = "ca", .not_before = now - 1h, .not_after = now + 24h};
  auto ca = make_ca(spec);
  ASSERT_TRUE(ca.ok());
  spec.common_name = "server";
  spec.server = true;
  auto id = issue_certificate(*ca, spec);
  ASSERT_TRUE(id.ok());
  ServerOptions options;
  options.tls = *id;
  auto server = Server::start({loop.get()}, options, answer);
  ASSERT_TRUE(server.ok());
  EXPECT_TRUE(run_task(*loop, serve_them(Context::root(*loop), server->get())));
}

}  // namespace
}  // namespace keles::net
