import java.nio.ByteBuffer;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** Kafka Streams, one thread, exactly_once_v2: read a counter of the key, write it, republish. Raw format only. */
public final class KafkaStreamsApp {
    static final class Count implements Processor<byte[], byte[], byte[], byte[]> {
        private ProcessorContext<byte[], byte[]> context;
        private KeyValueStore<byte[], byte[]> counts;

        @Override
        public void init(ProcessorContext<byte[], byte[]> context) {
            this.context = context;
            this.counts = context.getStateStore("counts");
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            byte[] before = counts.get(record.key());
            long count = (before == null ? 0 : ByteBuffer.wrap(before).getLong()) + 1;
            counts.put(record.key(), ByteBuffer.allocate(8).putLong(count).array());
            byte[] value = record.value().clone();
            ByteBuffer.wrap(value).putLong(count);
            context.forward(record.withValue(value));
        }
    }

    public static void main(String[] arguments) throws Exception {
        String bootstrap = arguments[0], in = arguments[1], out = arguments[2], folder = arguments[4];
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "kafka-streams-" + in);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, folder);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        Topology topology = new Topology();
        var bytes = Serdes.ByteArray();
        topology.addSource("in", bytes.deserializer(), bytes.deserializer(), in);
        topology.addProcessor("count", Count::new, "in");
        topology.addStateStore(
            // its record cache: like ours, it logs the last of several writes of a key before a commit
            Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("counts"), bytes, bytes).withCachingEnabled(),
            "count");
        topology.addSink("out", out, bytes.serializer(), bytes.serializer(), "count");
        KafkaStreams streams = new KafkaStreams(topology, settings);
        CountDownLatch stopped = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close();
            stopped.countDown();
        }));
        streams.start();
        stopped.await();
    }
}
