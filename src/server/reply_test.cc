// The bytes a response becomes, and what is told to whom when the peer leaves.
#include "server/reply.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

namespace quern::server {
namespace {

struct Case {
  boost::asio::io_context io;
  std::shared_ptr<Reply> reply;
  explicit Case(Reply::Options options = {}) : reply(std::make_shared<Reply>(io.get_executor(), options)) {}
  std::string Body() {
    const std::string out = reply->TakeOut();
    return out.substr(out.find("\r\n\r\n") + 4);
  }
};

TEST(Reply, WholeAnswersCarryTheirLength) {
  Case c;
  c.reply->SendWhole(200, {{"content-type", "text/plain"}}, "hello");
  EXPECT_TRUE(c.reply->finished());
  const std::string out = c.reply->TakeOut();
  EXPECT_TRUE(out.starts_with("HTTP/1.1 200 OK\r\n"));
  EXPECT_NE(out.find("\r\ncontent-length: 5\r\n"), std::string::npos);
  EXPECT_TRUE(out.ends_with("\r\n\r\nhello"));
}

TEST(Reply, HeadAnswersKeepTheLengthAndDropTheBody) {
  Case c({.head_only = true});
  c.reply->SendWhole(200, {}, "hello");
  const std::string out = c.reply->TakeOut();
  EXPECT_NE(out.find("content-length: 5\r\n"), std::string::npos);
  EXPECT_TRUE(out.ends_with("\r\n\r\n"));
}

TEST(Reply, StreamsAreChunked) {
  Case c;
  c.reply->StartStream(200, {});
  c.reply->Write("data: x\n\n");
  c.reply->Write("");
  c.reply->Write(std::string(26, 'y'));
  c.reply->Close();
  EXPECT_EQ(c.Body(), "9\r\ndata: x\n\n\r\n1a\r\n" + std::string(26, 'y') + "\r\n0\r\n\r\n");
}

TEST(Reply, OldClientsGetTheirStreamUnchunkedAndTheConnectionCloses) {
  Case c({.http_1_0 = true});
  c.reply->StartStream(200, {});
  c.reply->Write("data: x\n\n");
  c.reply->Close();
  EXPECT_FALSE(c.reply->keep_alive());
  EXPECT_EQ(c.Body(), "data: x\n\n");
}

TEST(Reply, AHeaderValueCannotBeginAnotherHeader) {
  Case c;
  c.reply->SendWhole(200, {{"x-a", "one\r\nset-cookie: two"}}, "");
  EXPECT_EQ(c.reply->TakeOut().find("\r\nset-cookie"), std::string::npos);
}

TEST(Reply, OnlyTheFirstAnswerCounts) {
  Case c;
  c.reply->SendWhole(400, {}, "first");
  c.reply->SendWhole(200, {}, "second");
  c.reply->StartStream(200, {});
  EXPECT_EQ(c.Body(), "first");
}

TEST(Reply, AGonePeerIsToldOnceAndTakesNothingMore) {
  Case c;
  int n_told = 0;
  c.reply->OnGone([&] { ++n_told; });
  c.reply->StartStream(200, {});
  c.reply->PeerGone();
  c.reply->PeerGone();
  c.reply->Write("late");
  c.reply->Close();
  EXPECT_EQ(n_told, 1);
  EXPECT_FALSE(c.reply->has_out());
}

TEST(Reply, AFinishedAnswerLetsItsOwnerGo) {
  Case c;
  auto owner = std::make_shared<int>(1);
  c.reply->OnGone([owner] { FAIL() << "told although the answer was complete"; });
  c.reply->SetTimer(std::chrono::hours(1), [owner] {});
  EXPECT_GT(owner.use_count(), 1);
  c.reply->SendWhole(200, {}, "x");
  c.io.run();  // the cancelled timer's handler is destroyed here; nothing else is left to wait for
  EXPECT_EQ(owner.use_count(), 1);
  c.reply->PeerGone();
}

TEST(Reply, TimersRunOnceUnlessReplaced) {
  Case c;
  std::string ran;
  c.reply->SetTimer(std::chrono::milliseconds(1), [&] { ran += "a"; });
  c.reply->SetTimer(std::chrono::milliseconds(1), [&] { ran += "b"; });
  c.io.run();
  EXPECT_EQ(ran, "b");
}

TEST(Reply, UnsentBytesAreQueuedAndInFlight) {
  Case c;
  c.reply->StartStream(200, {});
  c.reply->Write("12345");
  const size_t n_all = c.reply->unsent_bytes();
  const std::string out = c.reply->TakeOut();
  EXPECT_EQ(out.size(), n_all);
  EXPECT_EQ(c.reply->unsent_bytes(), n_all);
  c.reply->Wrote(n_all);
  EXPECT_EQ(c.reply->unsent_bytes(), 0U);
}

TEST(Reply, APeerThatSendsNoMoreIsAskedWhetherItReads) {
  Case whole;
  EXPECT_TRUE(whole.reply->Probe());
  EXPECT_TRUE(whole.reply->Probe()) << "one at a time";
  const std::string out = whole.reply->TakeOut();
  EXPECT_EQ(out, "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_TRUE(whole.reply->Probe());
  EXPECT_FALSE(whole.reply->has_out()) << "the last is still on its way";
  whole.reply->Wrote(out.size());
  whole.reply->SendWhole(200, {}, "hello");
  EXPECT_TRUE(whole.reply->Probe());
  EXPECT_TRUE(whole.reply->TakeOut().starts_with("HTTP/1.1 200 OK\r\n")) << "nothing after the end";

  Case old({.http_1_0 = true});
  EXPECT_FALSE(old.reply->Probe());
  EXPECT_FALSE(old.reply->has_out());

  Case stream;
  int n_asked = 0;
  stream.reply->StartStream(200, {});
  stream.reply->OnHalfClosed([&] { ++n_asked; });
  stream.reply->Wrote(stream.reply->TakeOut().size());
  EXPECT_TRUE(stream.reply->Probe());
  EXPECT_TRUE(stream.reply->Probe());
  EXPECT_EQ(n_asked, 1);
  EXPECT_FALSE(stream.reply->has_out());
}

}  // namespace
}  // namespace quern::server
