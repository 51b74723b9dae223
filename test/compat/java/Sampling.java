import com.amazonaws.xray.AWSXRay;
import java.io.IOException;

/**
 * A program as its users write them, with the AWS X-Ray SDK for Java. It begins and
 * ends segments with the names it is given, over and over, each with a sampling
 * decision of the SDK, until its standard input ends. The SDK is unmodified and finds
 * the daemon as it does everywhere: AWS_XRAY_DAEMON_ADDRESS, else 127.0.0.1:2000.
 *
 * java -cp 'lib/*' Sampling.java NAME...
 */
public class Sampling {
    public static void main(String[] names) throws InterruptedException {
        Thread end = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {
                    // What is written does not matter.
                }
            } catch (IOException e) {
                // As good as the end.
            }
            System.exit(0);
        });
        end.setDaemon(true);
        end.start();
        while (true) {
            for (String name : names) {
                AWSXRay.beginSegmentWithSampling(name);
                AWSXRay.endSegment();
            }
            Thread.sleep(40);
        }
    }
}
